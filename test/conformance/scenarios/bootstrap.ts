/** Pieces of configuration that scenarios share. JSON, which is YAML too, so that scenarios are data with types. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }

const TYPE = 'type.googleapis.com/envoy.extensions.filters'

/** `typed_config` of a message below `envoy.extensions.filters`. */
export function typed(type: string, fields: { readonly [key: string]: Json | undefined } = {}): Json {
  return { '@type': type.startsWith('type.') ? type : `${TYPE}.${type}`, ...fields }
}

export const router: Json = { name: 'envoy.filters.http.router', typed_config: typed('http.router.v3.Router') }

export const percent = (numerator: number): Json => ({ numerator, denominator: 'HUNDRED' })
export const always: Json = { default_value: percent(100) }
export const never: Json = { default_value: percent(0) }

/** A cluster with one static endpoint; `port` may be a placeholder. */
export function cluster(name: string, port: string, fields: { readonly [key: string]: Json } = {}): Json {
  const endpoint = { address: socketAddress(port) }
  return { name, load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] }, ...fields }
}

export function socketAddress(port: string): Json {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

/** What every request is logged with. */
export const LOG_FORMAT =
  '%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ' +
  'rx=%BYTES_RECEIVED% tx=%BYTES_SENT% cluster=%UPSTREAM_CLUSTER% host=%UPSTREAM_HOST% ' +
  'meta=%DYNAMIC_METADATA(envoy.filters.http.fault:note)%\n'

export interface HttpListener {
  name: string
  /** HTTP filters before the router. */
  filters?: readonly Json[]
  routes?: readonly Json[]
  /** More fields of the one virtual host. */
  virtualHost?: { readonly [key: string]: Json }
  routeConfig?: { readonly [key: string]: Json }
  /** More fields of the connection manager. */
  manager?: { readonly [key: string]: Json }
  /** Of its one filter chain. */
  transportSocket?: Json
}

/** A listener with a connection manager whose stat prefix is its name, logging to `{{log}}`. */
export function httpListener(listener: HttpListener): Json {
  const { name, filters = [], routes, virtualHost, routeConfig, manager, transportSocket } = listener
  return {
    name,
    address: socketAddress(`{{listen:${name}}}`),
    filter_chains: [
      {
        ...(transportSocket !== undefined && { transport_socket: transportSocket }),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: typed('network.http_connection_manager.v3.HttpConnectionManager', {
              stat_prefix: name,
              access_log: [
                {
                  name: 'envoy.access_loggers.file',
                  typed_config: typed('type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog', {
                    path: '{{log}}',
                    log_format: { text_format_source: { inline_string: LOG_FORMAT } },
                  }),
                },
              ],
              route_config: {
                name: `${name}-routes`,
                virtual_hosts: [
                  {
                    name: 'app',
                    domains: ['*'],
                    routes: routes ?? [{ match: { prefix: '/' }, route: { cluster: 'app' } }],
                    ...virtualHost,
                  },
                ],
                ...routeConfig,
              },
              http_filters: [...filters, router],
              ...manager,
            }),
          },
        ],
      },
    ],
  }
}

/** A bootstrap as YAML whose values are JSON. */
export function bootstrap(parts: { listeners: readonly Json[]; clusters: readonly Json[]; more?: string }): string {
  const { listeners, clusters, more = '' } = parts
  const resources = { listeners, clusters }
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: {{admin}} }}}
node: {id: test-node, cluster: test-service}
${more}static_resources: ${JSON.stringify(resources).replaceAll(/"(\{\{(?:listen|upstream|dead|hole):[^}]+\}\})"/g, '$1')}
`
}
