/**
 * What Hopwise supports of Envoy's API: by message, `'*'` for every field or the names of those that it supports. The
 * lists stand in `supported/`, one file for each part of the sidecar.
 *
 * To support something more, name it there. A field whose type is a message needs that message too, and so does what an
 * `Any` may carry; test/unit/config/support.test.ts fails on a name that is misspelt or missing. What is on neither
 * these lists nor `accepted-without-effect.ts` is refused with its place in the file.
 */
import { clusters } from './supported/clusters.ts'
import { httpConnectionManager } from './supported/http-connection-manager.ts'
import { httpFilters } from './supported/http-filters.ts'
import { listener } from './supported/listener.ts'
import { observability } from './supported/observability.ts'
import { process } from './supported/process.ts'
import { routes } from './supported/routes.ts'
import { sharedValues } from './supported/shared-values.ts'
import { tlsSockets } from './supported/tls.ts'

export type Supported = Readonly<Record<string, '*' | readonly string[]>>

export const supported: Supported = {
  ...process,
  ...sharedValues,
  ...listener,
  ...httpConnectionManager,
  ...httpFilters,
  ...routes,
  ...clusters,
  ...observability,
  ...tlsSockets,
}

/** For enum fields of which only some values are supported. */
export const supportedValues: Readonly<Record<string, readonly string[]>> = {
  'envoy.config.cluster.v3.Cluster.type': ['STATIC', 'STRICT_DNS', 'LOGICAL_DNS'],
  'envoy.config.cluster.v3.Cluster.lb_policy': [
    'ROUND_ROBIN',
    'LEAST_REQUEST',
    'RANDOM',
    'LOAD_BALANCING_POLICY_CONFIG',
  ],
  'envoy.config.core.v3.ConfigSource.resource_api_version': ['AUTO', 'V3'],
  'envoy.config.trace.v3.ZipkinConfig.collector_endpoint_version': [
    'DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE',
    'HTTP_JSON',
  ],
  'envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.san_type': ['EMAIL', 'DNS', 'URI', 'IP_ADDRESS'],
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.codec_type': [
    'AUTO',
    'HTTP1',
    'HTTP2',
  ],
}
