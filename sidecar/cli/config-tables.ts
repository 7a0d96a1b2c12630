/** Tables of `hopwise config` from the JSON of Envoy's admin endpoints. Pure: JSON in, cells out. */
import { addressText } from '../base/address.ts'

/** What the tables are made of: of the JSON, the parts that they read. */
export interface ConfigData {
  readonly dump: Dump
  /** Hosts as `/clusters?format=json` has them; undefined where only a dump is there. */
  readonly clusters: readonly ClusterStatus[] | undefined
  readonly sources: readonly Source[]
}

export interface Dump {
  readonly configs: readonly Resource[]
}

export interface ClusterStatus {
  readonly name: string
  readonly host_statuses?: readonly {
    readonly address?: AddressJson
    readonly weight?: number
    readonly health_status?: Readonly<Record<string, unknown>>
  }[]
}

/** Of `/config_sources`. */
export interface Source {
  readonly kind: string
  readonly name: string
  readonly file: string
  readonly line: number
}

export interface Table {
  readonly heads: readonly string[]
  readonly rows: readonly Row[]
}

export interface Row {
  /** By which a name on the command line picks. */
  readonly name: string
  readonly cells: readonly string[]
  readonly resource: unknown
}

interface AddressJson {
  readonly socket_address?: { readonly address?: string; readonly port_value?: number }
  readonly pipe?: { readonly path?: string }
}

type Resource = { readonly [field: string]: unknown }

/** `outbound|80|v1|b.ns.svc.cluster.local` (Istio): direction, port, subset, host. */
const ISTIO = /^(outbound|inbound|inbound-vip)\|(\d*)\|([^|]*)\|(.*)$/

export function clusterTable(data: ConfigData): Table {
  const rows = clustersOf(data.dump).map(cluster => {
    const name = text(cluster['name'])
    const [, direction = '', port = '', subset = '', host = ''] = ISTIO.exec(name) ?? []
    const type = record(cluster['cluster_type'])['name'] ?? cluster['type'] ?? 'STATIC'
    const fqdn = host === '' ? name : host
    return {
      name,
      cells: [fqdn, dash(port), dash(subset), dash(direction), text(type), place(data, 'cluster', name)],
      resource: cluster,
    }
  })
  return { heads: ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'FROM'], rows: byName(rows) }
}

export function listenerTable(data: ConfigData): Table {
  const rows = listenersOf(data.dump).flatMap(listener => {
    const name = text(listener['name'])
    const address = listener['address'] as AddressJson | undefined
    const port = address?.socket_address?.port_value
    const chains = list(listener['filter_chains'])
    const fallback = listener['default_filter_chain']
    const all = fallback === undefined ? chains : [...chains, record(fallback)]
    return all.map((chain, i) => {
      const own = text(chain['name']) || String(i)
      const from = place(data, 'filter_chain', `${name}/${own}`)
      return {
        name,
        cells: [
          address?.pipe?.path ?? address?.socket_address?.address ?? '-',
          port === undefined ? '-' : String(port),
          i >= chains.length ? 'ALL (default)' : matchText(record(chain['filter_chain_match'])),
          destinationOf(chain),
          from === '-' ? place(data, 'listener', name) : from,
        ],
        resource: listener,
      }
    })
  })
  return { heads: ['ADDRESSES', 'PORT', 'MATCH', 'DESTINATION', 'FROM'], rows: byName(rows) }
}

export function routeTable(data: ConfigData): Table {
  const rows = routeConfigsOf(data.dump).flatMap(routes => {
    const name = text(routes['name'])
    return list(routes['virtual_hosts']).flatMap(host => {
      const hostName = text(host['name'])
      const domains = strings(host['domains'])
      const shown =
        domains.length > 3 ? `${domains.slice(0, 2).join(', ')} + ${domains.length - 2} more` : domains.join(', ')
      return list(host['routes']).map((route, i) => ({
        name: `${name}/${hostName}/${text(route['name'])}`,
        cells: [
          name === '' ? '-' : name,
          hostName,
          shown,
          routeMatchText(record(route['match'])),
          routeTarget(route),
          place(data, 'route', `${name}/${hostName}/${i}`),
        ],
        resource: route,
      }))
    })
  })
  return { heads: ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'DESTINATION', 'FROM'], rows }
}

export function endpointTable(data: ConfigData): Table {
  const heads = ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER', 'WEIGHT']
  if (data.clusters === undefined) return { heads, rows: byName(dumpedEndpoints(data.dump)) }
  const rows = data.clusters.flatMap(({ name, host_statuses = [] }) =>
    host_statuses.map(host => {
      const health = host.health_status ?? {}
      return {
        name,
        cells: [
          endpointText(host.address),
          statusOf(health),
          health['failed_outlier_check'] === true ? 'FAILED' : 'OK',
          name,
          String(host.weight ?? 1),
        ],
        resource: host,
      }
    }),
  )
  return { heads, rows: byName(rows) }
}

/** From the dump alone, which knows nothing of outliers. */
function dumpedEndpoints(dump: Dump) {
  const section = sectionOf(dump, 'EndpointsConfigDump')
  return [...list(section['static_endpoint_configs']), ...list(section['dynamic_endpoint_configs'])].flatMap(entry => {
    const config = record(entry['endpoint_config'])
    const name = text(config['cluster_name'])
    return list(config['endpoints']).flatMap(locality =>
      list(locality['lb_endpoints']).map(endpoint => ({
        name,
        cells: [
          endpointText(record(endpoint['endpoint'])['address'] as AddressJson | undefined),
          text(endpoint['health_status'] ?? 'UNKNOWN'),
          '-',
          name,
          text(endpoint['load_balancing_weight'] ?? 1),
        ],
        resource: endpoint,
      })),
    )
  })
}

function statusOf(health: Readonly<Record<string, unknown>>): string {
  const eds = text(health['eds_health_status'])
  if (health['failed_active_health_check'] === true) return 'UNHEALTHY'
  if (eds !== '' && eds !== 'UNKNOWN' && eds !== 'HEALTHY') return eds
  return health['failed_active_degraded_check'] === true ? 'DEGRADED' : 'HEALTHY'
}

function clustersOf(dump: Dump): Resource[] {
  const section = sectionOf(dump, 'ClustersConfigDump')
  const kinds = ['static_clusters', 'dynamic_active_clusters', 'dynamic_warming_clusters']
  return kinds.flatMap(kind => list(section[kind])).map(entry => record(entry['cluster']))
}

function listenersOf(dump: Dump): Resource[] {
  const section = sectionOf(dump, 'ListenersConfigDump')
  const dynamic = list(section['dynamic_listeners']).map(entry => record(record(entry['active_state'])['listener']))
  return [...list(section['static_listeners']).map(entry => record(entry['listener'])), ...dynamic].filter(
    listener => Object.keys(listener).length > 0,
  )
}

function routeConfigsOf(dump: Dump): Resource[] {
  const section = sectionOf(dump, 'RoutesConfigDump')
  return [...list(section['static_route_configs']), ...list(section['dynamic_route_configs'])].map(entry =>
    record(entry['route_config']),
  )
}

function sectionOf(dump: Dump, type: string): Resource {
  return dump.configs.find(config => text(config['@type']).endsWith(`.${type}`)) ?? {}
}

function matchText(match: Resource): string {
  const parts: string[] = []
  const names = strings(match['server_names'])
  if (names.length > 0) parts.push(`SNI: ${names.join(',')}`)
  if (typeof match['transport_protocol'] === 'string') parts.push(`Trans: ${match['transport_protocol']}`)
  const protocols = strings(match['application_protocols'])
  if (protocols.length > 0) parts.push(`App: ${protocols.join(',')}`)
  for (const [field, label] of [
    ['prefix_ranges', 'Addr'],
    ['source_prefix_ranges', 'From'],
  ] as const) {
    const ranges = list(match[field]).map(range => `${text(range['address_prefix'])}/${text(range['prefix_len'] ?? 0)}`)
    if (ranges.length > 0) parts.push(`${label}: ${ranges.join(',')}`)
  }
  if (match['destination_port'] !== undefined) parts.push(`Port: ${text(match['destination_port'])}`)
  if (match['source_type'] !== undefined && match['source_type'] !== 'ANY') parts.push(text(match['source_type']))
  return parts.length === 0 ? 'ALL' : parts.join('; ')
}

/** Where a filter chain leads: a route configuration, or the cluster of a TCP proxy. */
function destinationOf(chain: Resource): string {
  for (const filter of list(chain['filters'])) {
    const typed = record(filter['typed_config'])
    const type = text(typed['@type'])
    if (type.endsWith('.HttpConnectionManager')) {
      const rds = record(typed['rds'])
      if (rds['route_config_name'] !== undefined) return `Route: ${text(rds['route_config_name'])}`
      const routes = record(typed['route_config'])
      const name = text(routes['name'])
      return name === '' ? `Inline Route: ${clustersIn(routes).join(', ')}` : `Route: ${name}`
    }
    if (type.endsWith('.TcpProxy')) {
      const weighted = list(record(typed['weighted_clusters'])['clusters']).map(one => text(one['name']))
      return `Cluster: ${typed['cluster'] === undefined ? weighted.join(', ') : text(typed['cluster'])}`
    }
  }
  const last = list(chain['filters']).at(-1)
  return last === undefined ? 'Non-HTTP/Non-TCP' : text(last['name'])
}

function clustersIn(routes: Resource): string[] {
  const targets = list(routes['virtual_hosts']).flatMap(host => list(host['routes']).map(routeTarget))
  return [...new Set(targets)].slice(0, 4)
}

function routeMatchText(match: Resource): string {
  const safe = record(match['safe_regex'])['regex']
  const separated = match['path_separated_prefix']
  const path =
    match['prefix'] !== undefined
      ? `${text(match['prefix'])}*`
      : match['path'] !== undefined
        ? text(match['path'])
        : safe !== undefined
          ? `regex ${text(safe)}`
          : separated !== undefined
            ? `${text(separated)}/*`
            : match['connect_matcher'] !== undefined
              ? 'CONNECT'
              : match['path_match_policy'] !== undefined
                ? text(record(match['path_match_policy'])['name'])
                : '/*'
  const headers = list(match['headers']).map(header => text(header['name']))
  const parameters = list(match['query_parameters']).map(parameter => `?${text(parameter['name'])}`)
  const grpc = match['grpc'] === undefined ? [] : ['grpc']
  const more = [...headers, ...parameters, ...grpc]
  return more.length === 0 ? path : `${path} (${more.join(', ')})`
}

function routeTarget(route: Resource): string {
  if (route['redirect'] !== undefined) return 'redirect'
  if (route['direct_response'] !== undefined) return `status ${text(record(route['direct_response'])['status'])}`
  if (route['non_forwarding_action'] !== undefined) return 'nothing'
  const action = record(route['route'])
  if (action['cluster'] !== undefined) return text(action['cluster'])
  if (action['cluster_header'] !== undefined) return `header ${text(action['cluster_header'])}`
  const weighted = list(record(action['weighted_clusters'])['clusters'])
  if (weighted.length > 0) {
    return weighted.map(one => `${text(one['name'])} ${text(one['weight'] ?? 0)}`).join(', ')
  }
  return '-'
}

function endpointText(address: AddressJson | undefined): string {
  if (address?.pipe !== undefined) return address.pipe.path ?? '-'
  const { address: ip = '?', port_value: port = 0 } = address?.socket_address ?? {}
  return addressText({ ip, port })
}

function place({ sources }: ConfigData, kind: string, name: string): string {
  const source = sources.find(one => one.kind === kind && one.name === name)
  if (source === undefined) return '-'
  return source.line > 0 ? `${source.file}:${source.line}` : source.file
}

function byName(rows: readonly Row[]): Row[] {
  return [...rows].sort((a, b) => (a.name === b.name ? 0 : a.name < b.name ? -1 : 1))
}

function text(value: unknown): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}

function dash(value: string): string {
  return value === '' ? '-' : value
}

function record(value: unknown): Resource {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Resource) : {}
}

function list(value: unknown): Resource[] {
  return Array.isArray(value) ? value.map(record) : []
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(text) : []
}
