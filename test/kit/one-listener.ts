/**
 * Configurations with one HTTP listener, for tests that are about one field of them: that field is given, what every
 * configuration needs is filled in. JSON inside, which is YAML too, so that they are values and not texts put together.
 */

type Fields = { readonly [key: string]: unknown }

const TYPE = 'type.googleapis.com/envoy.extensions'

export interface OneListener {
  readonly port: number
  /** Of the listener, and the stat prefix of its connection manager. Default: `out`. */
  readonly name?: string
  readonly direction?: 'INBOUND' | 'OUTBOUND'
  readonly clusters: readonly Fields[]
  /** More of the only route, which takes everything to the first cluster. */
  readonly route?: Fields
  /** More of the route configuration. */
  readonly routes?: Fields
  /** More of the connection manager. */
  readonly manager?: Fields
  readonly transportSocket?: Fields | undefined
  /** Name of the node, whose id is that of its first instance; none by default. */
  readonly service?: string | undefined
  /** `filter_metadata.hopwise` of the node, and of the listener. */
  readonly nodeSettings?: Fields | undefined
  readonly listenerSettings?: Fields | undefined
}

/** As YAML, without `admin`, which `startHopwise` adds. */
export function oneListener(parts: OneListener): string {
  const { port, name = 'out', direction, clusters, route, routes, manager, transportSocket, service } = parts
  const { nodeSettings, listenerSettings } = parts
  const to = { cluster: clusters[0]!['name'], ...route }
  const chain = {
    filters: [
      {
        name: 'envoy.filters.network.http_connection_manager',
        typed_config: {
          '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
          stat_prefix: name,
          route_config: {
            virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: to }] }],
            ...routes,
          },
          http_filters: [
            { name: 'envoy.filters.http.router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } },
          ],
          ...manager,
        },
      },
    ],
    ...(transportSocket && { transport_socket: transportSocket }),
  }
  const listener = {
    name,
    ...(direction && { traffic_direction: direction }),
    ...(listenerSettings && hopwiseSettings(listenerSettings)),
    address: localAddress(port),
    filter_chains: [chain],
  }
  const node = {
    ...(service !== undefined && { id: `${service}-1`, cluster: service }),
    ...(nodeSettings && hopwiseSettings(nodeSettings)),
  }
  const head = Object.keys(node).length === 0 ? '' : `node: ${JSON.stringify(node)}\n`
  return `${head}static_resources: ${JSON.stringify({ listeners: [listener], clusters })}\n`
}

/** Hopwise's own settings, for whatever has metadata. */
export function hopwiseSettings(settings: Fields): Fields {
  return { metadata: { filter_metadata: { hopwise: settings } } }
}

/** A tracing provider that sends spans to the cluster `collector`. */
export function zipkinProvider(more: Fields = {}): Fields {
  return {
    name: 'envoy.tracers.zipkin',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.config.trace.v3.ZipkinConfig',
      collector_cluster: 'collector',
      collector_endpoint: '/api/v2/spans',
      collector_endpoint_version: 'HTTP_JSON',
      ...more,
    },
  }
}

/** A cluster of endpoints on this machine. */
export function localCluster(name: string, ports: number | readonly number[], more: Fields = {}): Fields {
  const endpoints = [ports].flat().map(port => ({ endpoint: { address: localAddress(port) } }))
  return { name, load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] }, ...more }
}

/** Fields of a cluster with these `HttpProtocolOptions`. */
export function upstreamProtocol(options: Fields): Fields {
  const type = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  return { typed_extension_protocol_options: { [type]: { '@type': `type.googleapis.com/${type}`, ...options } } }
}

/** What an upstream is spoken to in HTTP/2 by, whatever it says. */
export const HTTP2_UPSTREAM = upstreamProtocol({ explicit_http_config: { http2_protocol_options: {} } })

function localAddress(port: number): Fields {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}
