/** Which extension may stand where, and what its name alone means there. */
import { extensionCategories } from './extension-names.ts'

/**
 * Where an extension may stand: the field that holds the `Any`, or that holds the message with `name` and
 * `typed_config`, and the category that belongs there.
 */
export const extensionPoints: Readonly<Record<string, string>> = {
  'envoy.config.accesslog.v3.AccessLog.typed_config': 'envoy.access_loggers',
  'envoy.config.accesslog.v3.ExtensionFilter.typed_config': 'envoy.access_loggers.extension_filters',
  'envoy.config.bootstrap.v3.Bootstrap.bootstrap_extensions': 'envoy.bootstrap',
  'envoy.config.bootstrap.v3.Bootstrap.default_regex_engine': 'envoy.regex_engines',
  'envoy.config.bootstrap.v3.Bootstrap.typed_dns_resolver_config': 'envoy.network.dns_resolver',
  'envoy.config.cluster.v3.Cluster.CustomClusterType.typed_config': 'envoy.clusters',
  'envoy.config.cluster.v3.Cluster.transport_socket': 'envoy.transport_sockets.upstream',
  'envoy.config.cluster.v3.Cluster.TransportSocketMatch.transport_socket': 'envoy.transport_sockets.upstream',
  'envoy.config.cluster.v3.Cluster.typed_dns_resolver_config': 'envoy.network.dns_resolver',
  'envoy.config.cluster.v3.Cluster.typed_extension_protocol_options': 'envoy.upstream_options',
  'envoy.config.cluster.v3.LoadBalancingPolicy.Policy.typed_extension_config': 'envoy.load_balancing_policies',
  'envoy.config.core.v3.SubstitutionFormatString.formatters': 'envoy.formatter',
  'envoy.config.listener.v3.Filter.typed_config': 'envoy.filters.network',
  'envoy.config.listener.v3.FilterChain.transport_socket': 'envoy.transport_sockets.downstream',
  'envoy.config.listener.v3.ListenerFilter.typed_config': 'envoy.filters.listener',
  'envoy.config.metrics.v3.StatsSink.typed_config': 'envoy.stats_sinks',
  'envoy.config.overload.v3.ResourceMonitor.typed_config': 'envoy.resource_monitors',
  'envoy.config.route.v3.ClusterSpecifierPlugin.extension': 'envoy.router.cluster_specifier_plugin',
  'envoy.config.route.v3.InternalRedirectPolicy.predicates': 'envoy.internal_redirect_predicates',
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate.typed_config': 'envoy.retry_host_predicates',
  'envoy.config.route.v3.RetryPolicy.RetryPriority.typed_config': 'envoy.retry_priorities',
  'envoy.config.route.v3.RouteAction.early_data_policy': 'envoy.route.early_data_policy',
  'envoy.config.route.v3.RouteAction.path_rewrite_policy': 'envoy.path.rewrite',
  'envoy.config.route.v3.RouteMatch.path_match_policy': 'envoy.path.match',
  'envoy.config.trace.v3.OpenTelemetryConfig.resource_detectors': 'envoy.tracers.opentelemetry.resource_detectors',
  'envoy.config.trace.v3.OpenTelemetryConfig.sampler': 'envoy.tracers.opentelemetry.samplers',
  'envoy.config.trace.v3.Tracing.Http.typed_config': 'envoy.tracers',
  'envoy.extensions.filters.http.compressor.v3.Compressor.compressor_library': 'envoy.compression.compressor',
  'envoy.extensions.filters.http.decompressor.v3.Decompressor.decompressor_library': 'envoy.compression.decompressor',
  'envoy.extensions.filters.http.router.v3.Router.upstream_http_filters': 'envoy.filters.http.upstream',
  'envoy.extensions.filters.http.stateful_session.v3.StatefulSession.session_state': 'envoy.http.stateful_session',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.early_header_mutation_extensions':
    'envoy.http.early_header_mutation',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.http_filters':
    'envoy.filters.http',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.original_ip_detection_extensions':
    'envoy.http.original_ip_detection',
  'envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension.typed_config': 'envoy.request_id',
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.http_filters': 'envoy.filters.http.upstream',
}

/** Categories whose members may also stand in the place of another. */
const alsoFits: Readonly<Record<string, readonly string[]>> = {
  'envoy.filters.listener': ['envoy.filters.udp_listener'],
}

/** Whether a message configures an extension of the category; true as well where the category is not known to us. */
export function fitsCategory(typeName: string, category: string): boolean {
  return [category, ...(alsoFits[category] ?? [])].some(name => {
    const members = extensionCategories[name]
    return members === undefined || Object.values(members).some(([config]) => config === typeName)
  })
}

/** The categories a message is the configuration of: what to say when it stands in the wrong place. */
export function categoriesOf(typeName: string): string[] {
  return Object.entries(extensionCategories)
    .filter(([, members]) => Object.values(members).some(types => types.includes(typeName)))
    .map(([category]) => category)
}

/** Names of extensions, in their category, that are understood without a type URL. */
export type ExtensionNames = (name: string, category: string | undefined) => string | undefined

/** The message that configures the extension of this name; where the category is unknown, the first of the name. */
export const knownExtensionNames: ExtensionNames = (name, category) => {
  const places = category === undefined ? Object.keys(extensionCategories) : [category, ...(alsoFits[category] ?? [])]
  for (const place of places) {
    const types = extensionCategories[place]?.[name]
    if (types) return types[0]
  }
  return undefined
}

export function namesInCategory(category: string): string[] {
  return [category, ...(alsoFits[category] ?? [])].flatMap(name => Object.keys(extensionCategories[name] ?? {}))
}
