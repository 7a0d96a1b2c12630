/**
 * What to add to "is not supported yet": when it comes, or what to write instead. By message, by field
 * (`message.field`) or by enum value (`message.field=VALUE`).
 */
const sds = 'SDS over gRPC comes with xDS; use path_config_source'
const noStaple = 'OCSP stapling is not done'
const xds = 'it comes with xDS'
const ownGrpc = 'the sidecar makes no gRPC calls of its own yet'
const fileLogs = `${ownGrpc}; use the file, stdout or stderr logger`
const clusterNames = 'write cluster, cluster_header or weighted_clusters'
const udp = 'it comes with UDP'
const tcp = 'it comes with the TCP proxy'
const healthChecks = 'it comes with active health checking'
const http3 = 'Node has no QUIC'
const noHedging = 'two attempts at once double the load just when it is too high; use per_try_timeout with retries'
const manager = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

export const comesLater: Readonly<Record<string, string>> = {
  'envoy.config.cluster.v3.Cluster.transport_socket_matcher': 'use transport_socket_matches',
  'envoy.config.core.v3.ConfigSource.api_config_source': sds,
  'envoy.config.core.v3.ConfigSource.ads': sds,
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.allow_expired_certificate':
    'OpenSSL tells the last mistake of a chain only, so that behind an expired certificate no other could be seen',
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.only_verify_leaf_cert_crl':
    'Node checks the whole chain against the list, or nothing',
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.require_signed_certificate_timestamp':
    'Node does not read them',
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.suppress_client_ca_list':
    'Node always sends the list',
  'envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.san_type=OTHER_NAME':
    'match by URI, DNS, IP_ADDRESS or EMAIL',
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.ocsp_staple_policy': noStaple,
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate.ocsp_staple': noStaple,
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key_provider': 'Node keeps private keys in memory',
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters.compliance_policies':
    'set versions, cipher_suites, ecdh_curves and signature_algorithms instead',
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.allow_renegotiation':
    'renegotiation is off: it has been a way in more than once',
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.custom_handshaker': "the handshake is OpenSSL's",
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.key_log': 'start Node with --tls-keylog=FILE instead',

  'envoy.config.bootstrap.v3.Bootstrap.dynamic_resources': xds,
  'envoy.config.bootstrap.v3.Bootstrap.config_sources': xds,
  'envoy.config.bootstrap.v3.Bootstrap.default_config_source': xds,
  'envoy.config.bootstrap.v3.RuntimeLayer.rtds_layer': xds,
  'envoy.config.cluster.v3.Cluster.eds_cluster_config': xds,
  'envoy.config.cluster.v3.Cluster.type=EDS': xds,
  'envoy.config.listener.v3.Filter.config_discovery': xds,
  'envoy.config.listener.v3.ListenerFilter.config_discovery': xds,
  'envoy.config.route.v3.RouteConfiguration.vhds': xds,
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.rds': xds,
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.scoped_routes': xds,
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.config_discovery': xds,

  'envoy.config.core.v3.GrpcService': ownGrpc,
  'envoy.config.trace.v3.OpenTelemetryConfig.grpc_service': `${ownGrpc}; use http_service, to a collector that takes OTLP over HTTP`,
  'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig': fileLogs,
  'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig': fileLogs,
  'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig': fileLogs,
  'envoy.config.accesslog.v3.AccessLogFilter.extension_filter': 'there is no CEL yet; the other filters may do',
  'envoy.config.trace.v3.ZipkinConfig.collector_endpoint_version=HTTP_PROTO':
    'write HTTP_JSON: spans go to Zipkin as JSON, which every collector takes that takes the other',
  'envoy.config.trace.v3.ZipkinConfig.collector_endpoint_version=GRPC': 'write HTTP_JSON; Envoy fails on this one',

  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_connection_pools':
    'it bounds what Envoy makes of many pools for a host; there is one here, bounded by max_connections',
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget.budget_interval':
    'the budget is a share of what is in flight',
  'envoy.config.core.v3.Http2ProtocolOptions.allow_metadata': 'METADATA frames are dropped, not passed on',
  'envoy.config.core.v3.Http2ProtocolOptions.max_header_field_size_kb':
    'a single field may be as large as all together; bound those with max_request_headers_kb',
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain.workload_trust_domain':
    'it is chosen by filter state that nothing here sets',
  'envoy.config.route.v3.RouteAction.cluster_specifier_plugin': clusterNames,
  'envoy.config.route.v3.RouteAction.inline_cluster_specifier_plugin': clusterNames,
  'envoy.config.route.v3.RouteConfiguration.cluster_specifier_plugins': clusterNames,

  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.codec_type=HTTP3': http3,
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.http3_protocol_options': http3,
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig.http3_protocol_options': http3,

  'envoy.config.route.v3.RouteAction.UpgradeConfig.connect_config': tcp,
  'envoy.config.route.v3.HedgePolicy.hedge_on_per_try_timeout': noHedging,
  'envoy.config.core.v3.SchemeHeaderTransformation.match_upstream': 'write scheme_to_overwrite',
  [`${manager}.proxy_status_config`]: 'Hopwise writes proxy-status on every failure; see failure-origin.md',
  [`${manager}.append_local_overload`]: 'it comes with overload protection',
  'envoy.extensions.filters.http.router.v3.Router.start_child_span':
    'set spawn_upstream_span in "tracing" of the http_connection_manager instead',

  'envoy.config.listener.v3.Listener.udp_listener_config': udp,
  'envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig': udp,
  'envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig': udp,
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': tcp,
  'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions': tcp,
  'envoy.config.core.v3.Address.pipe': 'it comes with unix sockets',
  'envoy.config.core.v3.Address.envoy_internal_address': 'it comes with internal listeners',
  'envoy.config.listener.v3.Listener.use_original_dst': 'it comes with traffic capture',
  'envoy.config.listener.v3.Listener.transparent': 'it comes with traffic capture',
  'envoy.config.listener.v3.FilterChain.use_proxy_proto':
    'add the listener filter envoy.filters.listener.proxy_protocol instead, once it is there',
  'envoy.config.cluster.v3.Cluster.type=ORIGINAL_DST': 'it comes with traffic capture',

  'envoy.config.cluster.v3.Cluster.health_checks': healthChecks,
  'envoy.config.cluster.v3.Cluster.lb_policy=RING_HASH': 'it comes with the consistent-hashing policies',
  'envoy.config.cluster.v3.Cluster.lb_policy=MAGLEV': 'it comes with the consistent-hashing policies',
  'envoy.config.cluster.v3.Cluster.lb_policy=CLUSTER_PROVIDED': 'it comes with traffic capture',
  'envoy.config.bootstrap.v3.Bootstrap.overload_manager': 'it comes with overload protection',
  'envoy.config.bootstrap.v3.Bootstrap.stats_sinks': 'scrape /stats/prometheus instead',
  'envoy.config.bootstrap.v3.Bootstrap.tracing':
    'put the provider into "tracing" of each http_connection_manager, where Envoy wants it since 1.14',
  'envoy.config.route.v3.RouteAction.cors':
    'give envoy.extensions.filters.http.cors.v3.CorsPolicy in typed_per_filter_config instead',
  'envoy.config.route.v3.VirtualHost.cors':
    'give envoy.extensions.filters.http.cors.v3.CorsPolicy in typed_per_filter_config instead',
}
