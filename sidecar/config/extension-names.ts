/**
 * The extensions that Envoy 1.40 knows, as far as the schema table has their messages: category → name → message of its
 * configuration, then those of its per-route configuration. Taken from what Envoy's binary itself reports of its
 * extensions (`node.extensions` in /config_dump).
 *
 * Used to understand a filter that is given by name only, to say what would have been right in a place, and to tell
 * a network filter from an HTTP filter. What Hopwise supports of these is said in `supported.ts`.
 */
export const extensionCategories: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'envoy.access_loggers': {
    'envoy.access_loggers.file': ['envoy.extensions.access_loggers.file.v3.FileAccessLog'],
    'envoy.access_loggers.http_grpc': ['envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig'],
    'envoy.access_loggers.open_telemetry': [
      'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig',
    ],
    'envoy.access_loggers.stderr': ['envoy.extensions.access_loggers.stream.v3.StderrAccessLog'],
    'envoy.access_loggers.stdout': ['envoy.extensions.access_loggers.stream.v3.StdoutAccessLog'],
    'envoy.access_loggers.tcp_grpc': ['envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig'],
  },
  'envoy.access_loggers.extension_filters': {
    'envoy.access_loggers.extension_filters.cel': ['envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter'],
  },
  'envoy.bootstrap': {
    'envoy.bootstrap.internal_listener': ['envoy.extensions.bootstrap.internal_listener.v3.InternalListener'],
    'envoy.extensions.network.socket_interface.default_socket_interface': [
      'envoy.extensions.network.socket_interface.v3.DefaultSocketInterface',
    ],
  },
  'envoy.clusters': {
    'envoy.cluster.dns': ['envoy.extensions.clusters.dns.v3.DnsCluster'],
    'envoy.cluster.original_dst': ['envoy.extensions.clusters.original_dst.v3.OriginalDstCluster'],
    'envoy.clusters.aggregate': ['envoy.extensions.clusters.aggregate.v3.ClusterConfig'],
    'envoy.clusters.dynamic_forward_proxy': ['envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig'],
  },
  'envoy.compression.compressor': {
    'envoy.compression.brotli.compressor': ['envoy.extensions.compression.brotli.compressor.v3.Brotli'],
    'envoy.compression.gzip.compressor': ['envoy.extensions.compression.gzip.compressor.v3.Gzip'],
    'envoy.compression.zstd.compressor': ['envoy.extensions.compression.zstd.compressor.v3.Zstd'],
  },
  'envoy.compression.decompressor': {
    'envoy.compression.brotli.decompressor': ['envoy.extensions.compression.brotli.decompressor.v3.Brotli'],
    'envoy.compression.gzip.decompressor': ['envoy.extensions.compression.gzip.decompressor.v3.Gzip'],
    'envoy.compression.zstd.decompressor': ['envoy.extensions.compression.zstd.decompressor.v3.Zstd'],
  },
  'envoy.filters.http': {
    'envoy.filters.http.adaptive_concurrency': [
      'envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency',
    ],
    'envoy.filters.http.admission_control': ['envoy.extensions.filters.http.admission_control.v3.AdmissionControl'],
    'envoy.filters.http.api_key_auth': [
      'envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth',
      'envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute',
    ],
    'envoy.filters.http.bandwidth_limit': ['envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit'],
    'envoy.filters.http.basic_auth': [
      'envoy.extensions.filters.http.basic_auth.v3.BasicAuth',
      'envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute',
    ],
    'envoy.filters.http.buffer': [
      'envoy.extensions.filters.http.buffer.v3.Buffer',
      'envoy.extensions.filters.http.buffer.v3.BufferPerRoute',
    ],
    'envoy.filters.http.composite': [
      'envoy.extensions.filters.http.composite.v3.Composite',
      'envoy.extensions.filters.http.composite.v3.CompositePerRoute',
    ],
    'envoy.filters.http.compressor': [
      'envoy.extensions.filters.http.compressor.v3.Compressor',
      'envoy.extensions.filters.http.compressor.v3.CompressorPerRoute',
    ],
    'envoy.filters.http.cors': [
      'envoy.extensions.filters.http.cors.v3.Cors',
      'envoy.extensions.filters.http.cors.v3.CorsPolicy',
    ],
    'envoy.filters.http.csrf': ['envoy.extensions.filters.http.csrf.v3.CsrfPolicy'],
    'envoy.filters.http.custom_response': ['envoy.extensions.filters.http.custom_response.v3.CustomResponse'],
    'envoy.filters.http.decompressor': ['envoy.extensions.filters.http.decompressor.v3.Decompressor'],
    'envoy.filters.http.dynamic_forward_proxy': [
      'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
      'envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig',
    ],
    'envoy.filters.http.ext_authz': [
      'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
      'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
    ],
    'envoy.filters.http.ext_proc': [
      'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
      'envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute',
    ],
    'envoy.filters.http.fault': ['envoy.extensions.filters.http.fault.v3.HTTPFault'],
    'envoy.filters.http.grpc_http1_bridge': ['envoy.extensions.filters.http.grpc_http1_bridge.v3.Config'],
    'envoy.filters.http.grpc_http1_reverse_bridge': [
      'envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig',
      'envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute',
    ],
    'envoy.filters.http.grpc_json_transcoder': [
      'envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder',
    ],
    'envoy.filters.http.grpc_stats': ['envoy.extensions.filters.http.grpc_stats.v3.FilterConfig'],
    'envoy.filters.http.grpc_web': ['envoy.extensions.filters.http.grpc_web.v3.GrpcWeb'],
    'envoy.filters.http.header_mutation': [
      'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
      'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
    ],
    'envoy.filters.http.header_to_metadata': ['envoy.extensions.filters.http.header_to_metadata.v3.Config'],
    'envoy.filters.http.health_check': ['envoy.extensions.filters.http.health_check.v3.HealthCheck'],
    'envoy.filters.http.jwt_authn': [
      'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
      'envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig',
    ],
    'envoy.filters.http.local_ratelimit': ['envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'],
    'envoy.filters.http.lua': [
      'envoy.extensions.filters.http.lua.v3.Lua',
      'envoy.extensions.filters.http.lua.v3.LuaPerRoute',
    ],
    'envoy.filters.http.match_delegate': [
      'envoy.extensions.common.matching.v3.ExtensionWithMatcher',
      'envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute',
    ],
    'envoy.filters.http.on_demand': [
      'envoy.extensions.filters.http.on_demand.v3.OnDemand',
      'envoy.extensions.filters.http.on_demand.v3.PerRouteConfig',
    ],
    'envoy.filters.http.ratelimit': [
      'envoy.extensions.filters.http.ratelimit.v3.RateLimit',
      'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute',
    ],
    'envoy.filters.http.rbac': [
      'envoy.extensions.filters.http.rbac.v3.RBAC',
      'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
    ],
    'envoy.filters.http.router': ['envoy.extensions.filters.http.router.v3.Router'],
    'envoy.filters.http.set_filter_state': ['envoy.extensions.filters.http.set_filter_state.v3.Config'],
    'envoy.filters.http.set_metadata': ['envoy.extensions.filters.http.set_metadata.v3.Config'],
    'envoy.filters.http.stateful_session': [
      'envoy.extensions.filters.http.stateful_session.v3.StatefulSession',
      'envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute',
    ],
  },
  'envoy.filters.http.upstream': {
    'envoy.filters.http.admission_control': ['envoy.extensions.filters.http.admission_control.v3.AdmissionControl'],
    'envoy.filters.http.buffer': [
      'envoy.extensions.filters.http.buffer.v3.Buffer',
      'envoy.extensions.filters.http.buffer.v3.BufferPerRoute',
    ],
    'envoy.filters.http.composite': [
      'envoy.extensions.filters.http.composite.v3.Composite',
      'envoy.extensions.filters.http.composite.v3.CompositePerRoute',
    ],
    'envoy.filters.http.compressor': [
      'envoy.extensions.filters.http.compressor.v3.Compressor',
      'envoy.extensions.filters.http.compressor.v3.CompressorPerRoute',
    ],
    'envoy.filters.http.ext_proc': [
      'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
      'envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute',
    ],
    'envoy.filters.http.header_mutation': [
      'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
      'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
    ],
    'envoy.filters.http.lua': [
      'envoy.extensions.filters.http.lua.v3.Lua',
      'envoy.extensions.filters.http.lua.v3.LuaPerRoute',
    ],
    'envoy.filters.http.match_delegate': [
      'envoy.extensions.common.matching.v3.ExtensionWithMatcher',
      'envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute',
    ],
    'envoy.filters.http.upstream_codec': ['envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec'],
    'envoy.filters.http.upstream_rbac': ['envoy.extensions.filters.http.rbac.v3.RBAC'],
  },
  'envoy.filters.listener': {
    'envoy.filters.listener.http_inspector': ['envoy.extensions.filters.listener.http_inspector.v3.HttpInspector'],
    'envoy.filters.listener.local_ratelimit': ['envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit'],
    'envoy.filters.listener.original_dst': ['envoy.extensions.filters.listener.original_dst.v3.OriginalDst'],
    'envoy.filters.listener.original_src': ['envoy.extensions.filters.listener.original_src.v3.OriginalSrc'],
    'envoy.filters.listener.proxy_protocol': ['envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'],
    'envoy.filters.listener.set_filter_state': ['envoy.extensions.filters.listener.set_filter_state.v3.Config'],
    'envoy.filters.listener.tls_inspector': ['envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'],
  },
  'envoy.filters.network': {
    'envoy.filters.network.connection_limit': ['envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit'],
    'envoy.filters.network.direct_response': ['envoy.extensions.filters.network.direct_response.v3.Config'],
    'envoy.filters.network.echo': ['envoy.extensions.filters.network.echo.v3.Echo'],
    'envoy.filters.network.ext_authz': ['envoy.extensions.filters.network.ext_authz.v3.ExtAuthz'],
    'envoy.filters.network.http_connection_manager': [
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    ],
    'envoy.filters.network.local_ratelimit': ['envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit'],
    'envoy.filters.network.mongo_proxy': ['envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy'],
    'envoy.filters.network.ratelimit': ['envoy.extensions.filters.network.ratelimit.v3.RateLimit'],
    'envoy.filters.network.rbac': ['envoy.extensions.filters.network.rbac.v3.RBAC'],
    'envoy.filters.network.set_filter_state': ['envoy.extensions.filters.network.set_filter_state.v3.Config'],
    'envoy.filters.network.sni_cluster': ['envoy.extensions.filters.network.sni_cluster.v3.SniCluster'],
    'envoy.filters.network.tcp_proxy': ['envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'],
  },
  'envoy.filters.udp_listener': {
    'envoy.filters.udp.dns_filter': ['envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig'],
    'envoy.filters.udp_listener.udp_proxy': ['envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig'],
  },
  'envoy.formatter': {
    'envoy.formatter.cel': ['envoy.extensions.formatter.cel.v3.Cel'],
    'envoy.formatter.metadata': ['envoy.extensions.formatter.metadata.v3.Metadata'],
    'envoy.formatter.req_without_query': ['envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery'],
  },
  'envoy.health_check.event_sinks': {
    'envoy.health_check.event_sink.file': [
      'envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink',
    ],
  },
  'envoy.http.custom_response': {
    'envoy.extensions.http.custom_response.local_response_policy': [
      'envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy',
    ],
    'envoy.extensions.http.custom_response.redirect_policy': [
      'envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy',
    ],
  },
  'envoy.http.early_header_mutation': {
    'envoy.http.early_header_mutation.header_mutation': [
      'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation',
    ],
  },
  'envoy.http.header_validators': {
    'envoy.http.header_validators.envoy_default': [
      'envoy.extensions.http.header_validators.envoy_default.v3.HeaderValidatorConfig',
    ],
  },
  'envoy.http.original_ip_detection': {
    'envoy.http.original_ip_detection.custom_header': [
      'envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig',
    ],
    'envoy.http.original_ip_detection.xff': ['envoy.extensions.http.original_ip_detection.xff.v3.XffConfig'],
  },
  'envoy.http.stateful_header_formatters': {
    'envoy.http.stateful_header_formatters.preserve_case': [
      'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
    ],
  },
  'envoy.http.stateful_session': {
    'envoy.http.stateful_session.cookie': ['envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState'],
    'envoy.http.stateful_session.envelope': ['envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState'],
    'envoy.http.stateful_session.header': ['envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState'],
  },
  'envoy.internal_redirect_predicates': {
    'envoy.internal_redirect_predicates.allow_listed_routes': [
      'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig',
    ],
    'envoy.internal_redirect_predicates.previous_routes': [
      'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig',
    ],
    'envoy.internal_redirect_predicates.safe_cross_scheme': [
      'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig',
    ],
  },
  'envoy.load_balancing_policies': {
    'envoy.load_balancing_policies.client_side_weighted_round_robin': [
      'envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin',
    ],
    'envoy.load_balancing_policies.cluster_provided': [
      'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided',
    ],
    'envoy.load_balancing_policies.least_request': [
      'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
    ],
    'envoy.load_balancing_policies.maglev': ['envoy.extensions.load_balancing_policies.maglev.v3.Maglev'],
    'envoy.load_balancing_policies.override_host': [
      'envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost',
    ],
    'envoy.load_balancing_policies.random': ['envoy.extensions.load_balancing_policies.random.v3.Random'],
    'envoy.load_balancing_policies.ring_hash': ['envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash'],
    'envoy.load_balancing_policies.round_robin': ['envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin'],
    'envoy.load_balancing_policies.subset': ['envoy.extensions.load_balancing_policies.subset.v3.Subset'],
    'envoy.load_balancing_policies.wrr_locality': [
      'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality',
    ],
  },
  'envoy.matching.action': {
    'envoy.matching.actions.format_string': ['envoy.config.core.v3.SubstitutionFormatString'],
  },
  'envoy.matching.common_inputs': {
    'envoy.matching.common_inputs.environment_variable': [
      'envoy.extensions.matching.common_inputs.environment_variable.v3.Config',
    ],
  },
  'envoy.matching.http.custom_matchers': {
    'envoy.matching.custom_matchers.domain_matcher': ['xds.type.matcher.v3.ServerNameMatcher'],
    'envoy.matching.custom_matchers.ip_range_matcher': ['xds.type.matcher.v3.IPMatcher'],
  },
  'envoy.matching.http.input': {
    'envoy.matching.inputs.cel_data_input': ['xds.type.matcher.v3.HttpAttributesCelMatchInput'],
    'envoy.matching.inputs.destination_ip': ['envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput'],
    'envoy.matching.inputs.destination_port': [
      'envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput',
    ],
    'envoy.matching.inputs.direct_source_ip': [
      'envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput',
    ],
    'envoy.matching.inputs.dns_san': ['envoy.extensions.matching.common_inputs.ssl.v3.DnsSanInput'],
    'envoy.matching.inputs.dynamic_metadata': [
      'envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput',
    ],
    'envoy.matching.inputs.filter_state': ['envoy.extensions.matching.common_inputs.network.v3.FilterStateInput'],
    'envoy.matching.inputs.local_reply': ['envoy.type.matcher.v3.HttpResponseLocalReplyMatchInput'],
    'envoy.matching.inputs.network_namespace': [
      'envoy.extensions.matching.common_inputs.network.v3.NetworkNamespaceInput',
    ],
    'envoy.matching.inputs.request_headers': ['envoy.type.matcher.v3.HttpRequestHeaderMatchInput'],
    'envoy.matching.inputs.request_trailers': ['envoy.type.matcher.v3.HttpRequestTrailerMatchInput'],
    'envoy.matching.inputs.response_headers': ['envoy.type.matcher.v3.HttpResponseHeaderMatchInput'],
    'envoy.matching.inputs.response_trailers': ['envoy.type.matcher.v3.HttpResponseTrailerMatchInput'],
    'envoy.matching.inputs.server_name': ['envoy.extensions.matching.common_inputs.network.v3.ServerNameInput'],
    'envoy.matching.inputs.source_ip': ['envoy.extensions.matching.common_inputs.network.v3.SourceIPInput'],
    'envoy.matching.inputs.source_port': ['envoy.extensions.matching.common_inputs.network.v3.SourcePortInput'],
    'envoy.matching.inputs.source_type': ['envoy.extensions.matching.common_inputs.network.v3.SourceTypeInput'],
    'envoy.matching.inputs.status_code_class_input': ['envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput'],
    'envoy.matching.inputs.status_code_input': ['envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput'],
    'envoy.matching.inputs.subject': ['envoy.extensions.matching.common_inputs.ssl.v3.SubjectInput'],
    'envoy.matching.inputs.uri_san': ['envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput'],
    query_params: ['envoy.type.matcher.v3.HttpRequestQueryParamMatchInput'],
  },
  'envoy.matching.input_matchers': {
    'envoy.matching.matchers.cel_matcher': ['xds.type.matcher.v3.CelMatcher'],
    'envoy.matching.matchers.consistent_hashing': [
      'envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing',
    ],
    'envoy.matching.matchers.ip': ['envoy.extensions.matching.input_matchers.ip.v3.Ip'],
    'envoy.matching.matchers.metadata_matcher': ['envoy.extensions.matching.input_matchers.metadata.v3.Metadata'],
    'envoy.matching.matchers.runtime_fraction': [
      'envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction',
    ],
  },
  'envoy.matching.network.custom_matchers': {
    'envoy.matching.custom_matchers.domain_matcher': ['xds.type.matcher.v3.ServerNameMatcher'],
    'envoy.matching.custom_matchers.ip_range_matcher': ['xds.type.matcher.v3.IPMatcher'],
  },
  'envoy.matching.network.input': {
    'envoy.matching.inputs.application_protocol': [
      'envoy.extensions.matching.common_inputs.network.v3.ApplicationProtocolInput',
    ],
    'envoy.matching.inputs.destination_ip': ['envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput'],
    'envoy.matching.inputs.destination_port': [
      'envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput',
    ],
    'envoy.matching.inputs.direct_source_ip': [
      'envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput',
    ],
    'envoy.matching.inputs.dns_san': ['envoy.extensions.matching.common_inputs.ssl.v3.DnsSanInput'],
    'envoy.matching.inputs.filter_state': ['envoy.extensions.matching.common_inputs.network.v3.FilterStateInput'],
    'envoy.matching.inputs.network_namespace': [
      'envoy.extensions.matching.common_inputs.network.v3.NetworkNamespaceInput',
    ],
    'envoy.matching.inputs.server_name': ['envoy.extensions.matching.common_inputs.network.v3.ServerNameInput'],
    'envoy.matching.inputs.source_ip': ['envoy.extensions.matching.common_inputs.network.v3.SourceIPInput'],
    'envoy.matching.inputs.source_port': ['envoy.extensions.matching.common_inputs.network.v3.SourcePortInput'],
    'envoy.matching.inputs.source_type': ['envoy.extensions.matching.common_inputs.network.v3.SourceTypeInput'],
    'envoy.matching.inputs.subject': ['envoy.extensions.matching.common_inputs.ssl.v3.SubjectInput'],
    'envoy.matching.inputs.transport_protocol': [
      'envoy.extensions.matching.common_inputs.network.v3.TransportProtocolInput',
    ],
    'envoy.matching.inputs.uri_san': ['envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput'],
  },
  'envoy.network.dns_resolver': {
    'envoy.network.dns_resolver.apple': ['envoy.extensions.network.dns_resolver.apple.v3.AppleDnsResolverConfig'],
    'envoy.network.dns_resolver.cares': ['envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'],
    'envoy.network.dns_resolver.getaddrinfo': [
      'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig',
    ],
  },
  'envoy.path.match': {
    'envoy.path.match.uri_template.uri_template_matcher': [
      'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
    ],
  },
  'envoy.path.rewrite': {
    'envoy.path.rewrite.uri_template.uri_template_rewriter': [
      'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig',
    ],
  },
  'envoy.rate_limit_descriptors': {
    'envoy.rate_limit_descriptors.expr': ['envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor'],
    'envoy.rate_limit_descriptors.jwt_claim': ['envoy.extensions.rate_limit_descriptors.jwt_claim.v3.Descriptor'],
  },
  'envoy.rbac.audit_loggers': {
    'envoy.rbac.audit_loggers.stream': ['envoy.extensions.rbac.audit_loggers.stream.v3.StdoutAuditLog'],
  },
  'envoy.rbac.matchers': {
    'envoy.rbac.matchers.upstream_ip_port': [
      'envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher',
    ],
  },
  'envoy.rbac.principals': {
    'envoy.rbac.principals.mtls_authenticated': ['envoy.extensions.rbac.principals.mtls_authenticated.v3.Config'],
  },
  'envoy.regex_engines': {
    'envoy.regex_engines.google_re2': ['envoy.extensions.regex_engines.v3.GoogleRE2'],
  },
  'envoy.request_id': {
    'envoy.request_id.uuid': ['envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig'],
  },
  'envoy.resource_monitors': {
    'envoy.resource_monitors.cgroup_memory': ['envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig'],
    'envoy.resource_monitors.cpu_utilization': [
      'envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig',
    ],
    'envoy.resource_monitors.fixed_heap': ['envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig'],
    'envoy.resource_monitors.global_downstream_max_connections': [
      'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
    ],
    'envoy.resource_monitors.injected_resource': [
      'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig',
    ],
  },
  'envoy.retry_host_predicates': {
    'envoy.retry_host_predicates.omit_canary_hosts': [
      'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate',
    ],
    'envoy.retry_host_predicates.omit_host_metadata': [
      'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig',
    ],
    'envoy.retry_host_predicates.previous_hosts': [
      'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
    ],
  },
  'envoy.retry_priorities': {
    'envoy.retry_priorities.previous_priorities': [
      'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
    ],
  },
  'envoy.route.early_data_policy': {
    'envoy.route.early_data_policy.default': ['envoy.extensions.early_data.v3.DefaultEarlyDataPolicy'],
  },
  'envoy.router.cluster_specifier_plugin': {
    'envoy.router.cluster_specifier_plugin.lua': ['envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig'],
    'envoy.router.cluster_specifier_plugin.matcher': [
      'envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier',
    ],
  },
  'envoy.stats_sinks': {
    'envoy.stat_sinks.dog_statsd': ['envoy.config.metrics.v3.DogStatsdSink'],
    'envoy.stat_sinks.metrics_service': ['envoy.config.metrics.v3.MetricsServiceConfig'],
    'envoy.stat_sinks.open_telemetry': ['envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig'],
    'envoy.stat_sinks.statsd': ['envoy.config.metrics.v3.StatsdSink'],
  },
  'envoy.tls.certificate_mappers': {
    'envoy.tls.certificate_mappers.sni': ['envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI'],
    'envoy.tls.certificate_mappers.static_name': [
      'envoy.extensions.transport_sockets.tls.cert_mappers.static_name.v3.StaticName',
    ],
  },
  'envoy.tls.certificate_selectors': {
    'envoy.tls.certificate_selectors.on_demand_secret': [
      'envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config',
    ],
  },
  'envoy.tls.upstream_certificate_mappers': {
    'envoy.tls.certificate_mappers.static_name': [
      'envoy.extensions.transport_sockets.tls.cert_mappers.static_name.v3.StaticName',
    ],
  },
  'envoy.tls.upstream_certificate_selectors': {
    'envoy.tls.certificate_selectors.on_demand_secret': [
      'envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config',
    ],
  },
  'envoy.tracers': {
    'envoy.tracers.opentelemetry': ['envoy.config.trace.v3.OpenTelemetryConfig'],
    'envoy.tracers.zipkin': ['envoy.config.trace.v3.ZipkinConfig'],
  },
  'envoy.tracers.opentelemetry.resource_detectors': {
    'envoy.tracers.opentelemetry.resource_detectors.environment': [
      'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig',
    ],
    'envoy.tracers.opentelemetry.resource_detectors.static_config': [
      'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig',
    ],
  },
  'envoy.tracers.opentelemetry.samplers': {
    'envoy.tracers.opentelemetry.samplers.always_on': [
      'envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig',
    ],
    'envoy.tracers.opentelemetry.samplers.cel': ['envoy.extensions.tracers.opentelemetry.samplers.v3.CELSamplerConfig'],
    'envoy.tracers.opentelemetry.samplers.dynatrace': [
      'envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig',
    ],
    'envoy.tracers.opentelemetry.samplers.parent_based': [
      'envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig',
    ],
    'envoy.tracers.opentelemetry.samplers.trace_id_ratio_based': [
      'envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig',
    ],
  },
  'envoy.transport_sockets.downstream': {
    'envoy.transport_sockets.raw_buffer': ['envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'],
    'envoy.transport_sockets.starttls': ['envoy.extensions.transport_sockets.starttls.v3.StartTlsConfig'],
    'envoy.transport_sockets.tcp_stats': ['envoy.extensions.transport_sockets.tcp_stats.v3.Config'],
    'envoy.transport_sockets.tls': ['envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'],
  },
  'envoy.transport_sockets.upstream': {
    'envoy.transport_sockets.internal_upstream': [
      'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
    ],
    'envoy.transport_sockets.raw_buffer': ['envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'],
    'envoy.transport_sockets.starttls': ['envoy.extensions.transport_sockets.starttls.v3.UpstreamStartTlsConfig'],
    'envoy.transport_sockets.tcp_stats': ['envoy.extensions.transport_sockets.tcp_stats.v3.Config'],
    'envoy.transport_sockets.tls': ['envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'],
    'envoy.transport_sockets.upstream_proxy_protocol': [
      'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
    ],
  },
  'envoy.udp_packet_writer': {
    'envoy.udp_packet_writer.default': ['envoy.extensions.udp_packet_writer.v3.UdpDefaultWriterFactory'],
    'envoy.udp_packet_writer.gso': ['envoy.extensions.udp_packet_writer.v3.UdpGsoBatchWriterFactory'],
  },
  'envoy.upstream_options': {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': [
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    ],
    'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions': ['envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions'],
  },
  'envoy.upstreams': {
    'envoy.filters.connection_pools.tcp.generic': [
      'envoy.extensions.upstreams.tcp.generic.v3.GenericConnectionPoolProto',
    ],
  },
}
