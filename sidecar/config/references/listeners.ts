/** Listeners: unique names and addresses, filter chains that can be told apart, terminal filters at the end. */
import { isIP } from 'node:net'
import { categoriesOf } from '../extension-points.ts'
import type {
  FilterChain,
  FilterChainMatch,
  HttpConnectionManager,
  HttpFilter,
  Listener,
  NetworkFilter,
} from '../schema/generated/types.ts'
import { lineOf, type Report } from './report.ts'
import { checkRouteConfiguration, type RouteContext } from './routes.ts'

export interface ListenerContext {
  /** Undefined where the rest of the configuration is not there. */
  readonly clusterNames: ReadonlySet<string> | undefined
  readonly report: Report
}

export function checkListeners(listeners: readonly Listener[], context: ListenerContext): void {
  const { report } = context
  const byName = new Map<string, Listener>()
  const byAddress = new Map<string, Listener>()
  for (const listener of listeners) {
    const earlier = listener.name === '' ? undefined : byName.get(listener.name)
    if (earlier) {
      const text = `the listener "${listener.name}" is there already, on ${lineOf(earlier)}; Envoy would drop one of them`
      report.error(listener, 'name', text, 'duplicate')
    }
    byName.set(listener.name, listener)
    checkAddress(listener, byAddress, report)
    checkFilterChains(listener, context)
  }
}

function checkAddress(listener: Listener, byAddress: Map<string, Listener>, report: Report): void {
  for (const address of [listener.address, ...listener.additionalAddresses.map(additional => additional.address)]) {
    const socket = address?.socketAddress
    if (!socket) continue
    if (socket.protocol === 'UDP') {
      report.error(socket, 'protocol', 'UDP is not supported yet by Hopwise: it comes with UDP', 'unsupported')
    }
    if (isIP(socket.address) === 0) {
      const text = `"${socket.address}" is no IP address, which a listener needs; 127.0.0.1 or 0.0.0.0 are`
      report.error(socket, 'address', text, 'rule')
    }
    const key = `${socket.protocol} ${socket.address} ${socket.portValue ?? socket.namedPort}`
    const earlier = byAddress.get(key)
    // Port 0 is another port each time.
    if (socket.portValue === 0 || listener.bindToPort === false) continue
    if (earlier) {
      const name = earlier.name === '' ? 'another listener' : `the listener "${earlier.name}"`
      report.error(socket, undefined, `${name} has this address too, on ${lineOf(earlier)}`, 'duplicate')
    } else byAddress.set(key, listener)
  }
}

function checkFilterChains(listener: Listener, context: ListenerContext): void {
  const { report } = context
  const chains = [...listener.filterChains]
  const isUdp = listener.address?.socketAddress?.protocol === 'UDP'
  if (
    chains.length === 0 &&
    !listener.defaultFilterChain &&
    !isUdp &&
    !listener.internalListener &&
    !listener.apiListener
  ) {
    report.error(listener, 'filterChains', 'the listener has no filter chains', 'rule')
  }
  const byMatch = new Map<string, FilterChain>()
  for (const chain of chains) {
    for (const key of matchKeys(chain.filterChainMatch)) {
      const earlier = byMatch.get(key)
      if (earlier && earlier !== chain) {
        const text = `the filter chain on ${lineOf(earlier)} matches the same connections (${key === '' ? 'all' : key})`
        report.error(chain, chain.filterChainMatch ? 'filterChainMatch' : undefined, text, 'duplicate')
        break
      }
      byMatch.set(key, chain)
    }
    for (const name of chain.filterChainMatch?.serverNames ?? []) {
      if (!/^(?:\*\.)?[^*]*$/.test(name)) {
        const text = `"${name}": a wildcard may only be the whole first label, as in "*.example.com"`
        report.error(chain.filterChainMatch!, 'serverNames', text, 'rule')
      }
    }
  }
  if (listener.defaultFilterChain) chains.push(listener.defaultFilterChain)
  for (const chain of chains) checkNetworkFilters(chain, context)
}

/** Envoy compares criterion by criterion, each value apart; so `source_ports: [5, 6]` collides with `[6]`. */
function matchKeys(match: FilterChainMatch | undefined): string[] {
  if (!match) return ['']
  const criteria: [string, readonly string[]][] = [
    ['destination_port', match.destinationPort === undefined ? [] : [String(match.destinationPort)]],
    ['prefix_ranges', match.prefixRanges.map(rangeKey)],
    ['server_names', match.serverNames.map(name => name.toLowerCase())],
    ['transport_protocol', match.transportProtocol === '' ? [] : [match.transportProtocol]],
    ['application_protocols', match.applicationProtocols],
    ['direct_source_prefix_ranges', match.directSourcePrefixRanges.map(rangeKey)],
    ['source_type', match.sourceType === 'ANY' ? [] : [match.sourceType]],
    ['source_prefix_ranges', match.sourcePrefixRanges.map(rangeKey)],
    ['source_ports', match.sourcePorts.map(String)],
  ]
  let keys = ['']
  for (const [name, values] of criteria) {
    if (values.length === 0) continue
    // A product of long lists is not worth its size: beyond this, duplicates go unnoticed until the listener is built.
    if (keys.length * values.length > 10_000) return keys
    keys = keys.flatMap(key => values.map(value => `${key === '' ? '' : `${key}, `}${name} ${value}`))
  }
  return keys
}

function rangeKey({ addressPrefix, prefixLen }: { addressPrefix: string; prefixLen: number | undefined }): string {
  const length = prefixLen ?? 0
  const octets = addressPrefix.split('.').map(Number)
  if (octets.length !== 4) return `${addressPrefix}/${length}`
  const address = octets.reduce((bits, octet) => bits * 256 + octet, 0)
  const size = 2 ** (32 - Math.min(32, length))
  const network = Math.floor(address / size) * size
  return `${[24, 16, 8, 0].map(shift => Math.floor(network / 2 ** shift) % 256).join('.')}/${length}`
}

const terminalNetworkFilters = new Set([
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  'envoy.extensions.filters.network.direct_response.v3.Config',
  'envoy.extensions.filters.network.echo.v3.Echo',
])
const router = 'envoy.extensions.filters.http.router.v3.Router'

function checkNetworkFilters(chain: FilterChain, context: ListenerContext): void {
  checkTerminal(chain.filters, terminalNetworkFilters, 'network', context.report)
  for (const { typedConfig } of chain.filters) {
    if (typedConfig?.typeUrl === 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager') {
      checkConnectionManager(typedConfig.value as HttpConnectionManager, context)
    }
  }
}

function checkTerminal(
  filters: readonly (NetworkFilter | HttpFilter)[],
  terminal: ReadonlySet<string>,
  kind: 'network' | 'http',
  report: Report,
): void {
  filters.forEach((filter, index) => {
    const { name, typedConfig } = filter
    if (!typedConfig || (kind === 'http' && (filter as HttpFilter).disabled)) return
    const isTerminal = terminal.has(typedConfig.typeUrl)
    const isLast = index === filters.length - 1
    if (isTerminal && !isLast) {
      report.error(filter, 'name', `"${name}" must be the last filter: what stands after it is never reached`)
    }
    if (!isTerminal && isLast && categoriesOf(typedConfig.typeUrl).length > 0) {
      const needed = kind === 'http' ? 'envoy.filters.http.router' : 'envoy.filters.network.http_connection_manager'
      report.error(
        filter,
        'name',
        `"${name}" cannot be the last filter, since it passes everything on; add ${needed} after it`,
      )
    }
  })
}

function checkConnectionManager(manager: HttpConnectionManager, context: ListenerContext): void {
  const { report } = context
  checkTerminal(manager.httpFilters, new Set([router]), 'http', report)
  if (manager.httpFilters.length === 0) {
    report.warning(
      manager,
      undefined,
      'there are no http_filters: without envoy.filters.http.router no request is routed',
      'advice',
    )
  }
  if (!manager.routeConfig) return
  const routeContext: RouteContext = {
    ...context,
    filterNames: new Set(manager.httpFilters.flatMap(({ name, typedConfig }) => [name, typedConfig?.typeUrl ?? name])),
  }
  checkRouteConfiguration(manager.routeConfig, routeContext)
}
