/**
 * Scenarios about one exchange: what becomes of a request when everything goes well or something does not. Each runs on a
 * listener and a cluster of its own, so that pools, limits and ejections of one do not reach into the next.
 *
 * In a scenario `{c}` stands for the name of its listener and cluster, which is also the stat prefix.
 */
import type { Scenario, Suite } from '../../kit/side-by-side.ts'
import { bootstrap, cluster, type HttpListener, httpListener, type Json, typed } from './bootstrap.ts'

export interface ExchangeScenario extends Omit<Scenario, 'listen'>, Omit<HttpListener, 'name'> {
  /** Fields of the scenario's cluster, whose one endpoint is the upstream `app`. */
  cluster?: { readonly [key: string]: Json }
  /** More clusters, named `{c}-…`. */
  clusters?: readonly Json[]
  /** Fields of the route to the scenario's cluster, where `routes` does not say more. */
  route?: { readonly [key: string]: Json }
  /** Fields of the listener. */
  listener?: { readonly [key: string]: Json }
  /** Stats are not compared: how many depends on a moment. */
  withoutStats?: string
}

export const GRPC = { 'content-type': 'application/grpc' } as const

const FORMAT =
  '%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %PROTOCOL% rx=%BYTES_RECEIVED% ' +
  'tx=%BYTES_SENT% cluster=%UPSTREAM_CLUSTER% host=%UPSTREAM_HOST% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% ' +
  'failure=%UPSTREAM_TRANSPORT_FAILURE_REASON% grpc=%GRPC_STATUS% from=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% ' +
  'end=%CONNECTION_TERMINATION_DETAILS% route=%ROUTE_NAME% upstream=%UPSTREAM_PROTOCOL%\n'

const accessLog: Json = [
  {
    name: 'envoy.access_loggers.file',
    typed_config: typed('type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog', {
      path: '{{log}}',
      log_format: { text_format_source: { inline_string: FORMAT } },
    }),
  },
]

/** `HttpProtocolOptions` of a cluster, HTTP/1.1 where the fields do not say otherwise. */
export function httpOptions(fields: { readonly [key: string]: Json | undefined }): Json {
  return {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
      'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      { explicit_http_config: { http_protocol_options: {} }, ...fields },
    ),
  }
}

/** Fields of a cluster that is spoken to in HTTP/2. */
export const HTTP2_CLUSTER = {
  typed_extension_protocol_options: httpOptions({ explicit_http_config: { http2_protocol_options: {} } }),
} as const

/** One static cluster of several endpoints. */
export function hosts(name: string, ports: readonly string[], fields: { readonly [key: string]: Json } = {}): Json {
  const endpoints = ports.map(port => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  }))
  return { name, load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] }, ...fields }
}

export function exchangeSuite(name: string, scenarios: readonly ExchangeScenario[], runtime: Json = {}): Suite {
  const listeners: string[] = []
  const clusters: string[] = []
  const own = (text: Json, id: string) => JSON.stringify(text).replaceAll('{c}', id)
  scenarios.forEach((scenario, i) => {
    const id = `${name[0]}${i}`
    const {
      manager,
      route,
      listener,
      routes = [{ match: { prefix: '/' }, route: { cluster: '{c}', ...route } }],
    } = scenario
    const built = httpListener({
      ...scenario,
      name: id,
      routes,
      manager: { access_log: accessLog, delayed_close_timeout: '0.3s', ...manager },
    })
    listeners.push(own({ ...(built as { [key: string]: Json }), ...listener }, id))
    clusters.push(own(cluster('{c}', '{{upstream:app}}', scenario.cluster ?? {}), id))
    for (const more of scenario.clusters ?? []) clusters.push(own(more, id))
  })
  return {
    name,
    config: bootstrap({
      listeners: listeners.map(text => JSON.parse(text) as Json),
      clusters: clusters.map(text => JSON.parse(text) as Json),
      more: `layered_runtime: {layers: [{name: static, static_layer: ${JSON.stringify(runtime)}}, {name: admin, admin_layer: {}}]}\n`,
    }),
    scenarios: scenarios.map((scenario, i) => {
      const id = `${name[0]}${i}`
      const { expectStats, stats } = scenario
      return {
        ...scenario,
        listen: id,
        ...(stats && { stats: stats.map(stat => stat.replaceAll('{c}', id)) }),
        ...(expectStats && {
          expectStats: Object.fromEntries(Object.entries(expectStats).map(([k, v]) => [k.replaceAll('{c}', id), v])),
        }),
        ...(scenario.withoutStats === undefined && {
          statPrefixes: [
            `cluster.${id}.`,
            `cluster.${id}-`,
            `http.${id}.`,
            `vhost.${id}`,
            `listener.127.0.0.1_{{listen:${id}}}.`,
            'http2.',
          ],
        }),
      }
    }),
  }
}
