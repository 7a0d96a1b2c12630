/** Bootstrap, node, admin, runtime. See `../supported.ts`. */
import type { Supported } from '../supported.ts'

export const process: Supported = {
  'envoy.config.bootstrap.v3.Bootstrap': [
    'node',
    'static_resources',
    'cluster_manager',
    'layered_runtime',
    'admin',
    'stats_config',
    'stats_flush_interval',
    'typed_dns_resolver_config',
    'dns_resolution_config',
  ],
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources': ['listeners', 'clusters', 'secrets'],
  'envoy.config.bootstrap.v3.Admin': ['access_log', 'access_log_path', 'address', 'allow_paths'],
  'envoy.config.bootstrap.v3.ClusterManager': ['outlier_detection'],
  'envoy.config.bootstrap.v3.ClusterManager.OutlierDetection': ['event_log_path'],
  'envoy.config.bootstrap.v3.LayeredRuntime': '*',
  'envoy.config.bootstrap.v3.RuntimeLayer': ['name', 'static_layer', 'admin_layer'],
  'envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer': '*',
  'envoy.config.core.v3.Node': '*',
  'envoy.config.core.v3.Extension': '*',
  'envoy.config.core.v3.BuildVersion': '*',
  'envoy.config.core.v3.Locality': '*',
  'envoy.config.metrics.v3.StatsConfig': '*',
  'envoy.config.metrics.v3.HistogramBucketSettings': ['match', 'buckets'],
  'envoy.config.metrics.v3.StatsMatcher': '*',
  'envoy.config.metrics.v3.TagSpecifier': '*',
  'envoy.type.v3.SemanticVersion': '*',
  'xds.core.v3.CidrRange': '*',
  'xds.core.v3.ContextParams': '*',
}
