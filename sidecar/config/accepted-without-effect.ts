/**
 * Fields (`message.field`) and messages that load and change nothing, each with the reason that its warning gives, so
 * that the usual bootstraps of Envoy and Istio load. A field belongs here only if ignoring it cannot change which
 * requests succeed: tuning of Envoy's own threads and memory, or work that Node or the kernel does by itself.
 */
const bootstrap = 'envoy.config.bootstrap.v3'
const core = 'envoy.config.core.v3'
const listener = 'envoy.config.listener.v3.Listener'
const cluster = 'envoy.config.cluster.v3.Cluster'
const manager = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

const eventLoop = 'Node watches its own event loop; see server.event_loop_delay in /stats'
const noSocketOptions = 'Node gives no access to socket options'
const dnsOverUdp = 'names are asked over UDP, and over TCP where an answer does not fit'
/** `health_checks` itself is refused, and these are read with it only. */
const noHealthChecks = 'it tunes active health checks, of which there are none yet'
const hotPath = 'it tunes the inside of Envoy'

export const acceptedWithoutEffect: Readonly<Record<string, string>> = {
  [`${bootstrap}.Bootstrap.flags_path`]: 'flags come from the command line',
  [`${bootstrap}.Bootstrap.deferred_stat_options`]: 'stats are always made on first use',
  [`${bootstrap}.Bootstrap.stats_flush_on_admin`]: 'stats are added up whenever they are read',
  [`${bootstrap}.Bootstrap.stats_eviction_interval`]: 'stats of removed clusters and listeners leave with them',
  [`${bootstrap}.Bootstrap.watchdog`]: eventLoop,
  [`${bootstrap}.Bootstrap.watchdogs`]: eventLoop,
  [`${bootstrap}.Bootstrap.enable_dispatcher_stats`]: eventLoop,
  [`${bootstrap}.Bootstrap.stats_server_version_override`]: 'the version reported is that of Hopwise',
  [`${bootstrap}.Bootstrap.fatal_actions`]: 'a crash is reported by Node',
  [`${bootstrap}.Bootstrap.default_socket_interface`]: hotPath,
  [`${bootstrap}.Bootstrap.inline_headers`]: hotPath,
  [`${bootstrap}.Bootstrap.perf_tracing_file_path`]: hotPath,
  [`${bootstrap}.Bootstrap.default_regex_engine`]: 'expressions always follow RE2',
  [`${bootstrap}.Bootstrap.listener_manager`]: hotPath,
  [`${bootstrap}.Bootstrap.application_log_config`]: 'the process log has its own format; see --log-format',
  [`${bootstrap}.Bootstrap.grpc_async_client_manager_config`]: hotPath,
  [`${bootstrap}.Bootstrap.memory_allocator_manager`]: 'V8 manages the memory',
  [`${bootstrap}.Bootstrap.enable_worker_cpu_affinity`]: 'Node cannot pin threads',
  [`${bootstrap}.Admin.profile_path`]: 'profiles come from the inspector of Node',
  [`${bootstrap}.Admin.socket_options`]: noSocketOptions,
  [`${bootstrap}.Admin.ignore_global_conn_limit`]: 'the admin listener is never limited',
  [`${bootstrap}.ClusterManager.local_cluster_name`]: 'it serves zone-aware routing, which is not done yet',
  [`${bootstrap}.ClusterManager.enable_deferred_cluster_creation`]: 'clusters are small until they are used',
  'envoy.extensions.network.dns_resolver.apple.v3.AppleDnsResolverConfig': 'names are resolved by c-ares',
  'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig.num_resolver_threads': hotPath,
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.filter_unroutable_families':
    'addresses that cannot be reached are left by the next try',
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.udp_max_queries': hotPath,
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.rotate_nameservers': hotPath,
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.edns0_max_payload_size': hotPath,
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.max_udp_channel_duration': hotPath,
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.reinit_channel_on_timeout': hotPath,
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.qcache_max_ttl': hotPath,

  [`${bootstrap}.Bootstrap.use_tcp_for_dns_lookups`]: dnsOverUdp,
  [`${cluster}.use_tcp_for_dns_lookups`]: dnsOverUdp,
  [`${core}.DnsResolverOptions.use_tcp_for_dns_lookups`]: dnsOverUdp,

  [`${core}.Metadata.typed_filter_metadata`]: 'only filter_metadata is read',
  [`${core}.HttpService.formatters`]: 'the formatters of Envoy are built in',
  [`${core}.Http2ProtocolOptions.use_oghttp2_codec`]: hotPath,
  [`${core}.Http2ProtocolOptions.max_metadata_size`]: 'it bounds what allow_metadata lets in',
  [`${core}.JsonFormatOptions.sort_properties`]: 'properties are always sorted, in Envoy too',
  [`${core}.ConfigSource.initial_fetch_timeout`]: 'a file is there or it is not; nothing is waited for',

  [`${listener}.freebind`]: noSocketOptions,
  [`${listener}.socket_options`]: noSocketOptions,
  [`${listener}.tcp_fast_open_queue_length`]: noSocketOptions,
  [`${listener}.reuse_port`]: 'use enable_reuse_port',
  [`${listener}.connection_balance_config`]: 'the kernel spreads connections over the workers',
  [`${listener}.max_connections_to_accept_per_socket_event`]: hotPath,
  [`${listener}.enable_mptcp`]: noSocketOptions,
  [`${listener}.ignore_global_conn_limit`]: 'there is no global limit of connections yet',
  [`${listener}.bypass_overload_manager`]: 'there is no overload manager yet',
  [`${listener}.stats_matcher`]: 'all stats are kept; they cost little',
  'envoy.config.listener.v3.AdditionalAddress.socket_options': noSocketOptions,

  [`${core}.Http2ProtocolOptions.enable_huffman_encoding`]: 'texts are written in whichever form is shorter',

  [`${manager}.add_proxy_protocol_connection_state`]: 'it is only read by the PROXY protocol upstream',
  [`${manager}.record_route_resolution_stats`]: 'routes are found in about a microsecond',
  'envoy.config.route.v3.WeightedCluster.total_weight': 'Envoy takes the sum of the weights too, whatever it says',
  'envoy.config.route.v3.HedgePolicy.initial_requests': 'Envoy does not implement it either',
  'envoy.config.route.v3.HedgePolicy.additional_request_chance': 'Envoy does not implement it either',
  'envoy.config.route.v3.RouteAction.early_data_policy': 'early data is never accepted',
  'envoy.config.route.v3.RateLimit.apply_on_stream_done': 'only quota filters read it',
  'envoy.extensions.filters.http.router.v3.Router.reject_connect_request_early_data': 'early data is never forwarded',

  [`${cluster}.ignore_health_on_host_removal`]: noHealthChecks,
  [`${cluster}.CommonLbConfig.ignore_new_hosts_until_first_hc`]: noHealthChecks,
  'envoy.config.endpoint.v3.Endpoint.health_check_config': noHealthChecks,
  [`${cluster}.cleanup_interval`]: 'hosts that are no longer used are dropped at once',
  [`${cluster}.stats_matcher`]: 'all stats are kept; they cost little',
  [`${cluster}.track_timeout_budgets`]: 'use track_cluster_stats',
  'envoy.config.cluster.v3.UpstreamConnectionOptions.set_local_interface_name_on_upstream_connections': hotPath,
  'envoy.config.cluster.v3.UpstreamConnectionOptions.happy_eyeballs_config': 'Node has its own Happy Eyeballs',
}
