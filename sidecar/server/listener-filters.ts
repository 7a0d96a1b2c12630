/** Listener filters from configuration. */
import type {
  FilterChainMatch,
  ListenerFilterChainMatchPredicate,
  Listener as ListenerMessage,
  TlsInspector,
} from '../config/schema/generated/types.ts'
import { type InspectedSocket, type ListenerFilter, ListenerFilterStatus } from '../filter-chain/listener-filter.ts'
import type { BuildErrors } from './build-errors.ts'
import type { Environment } from './environment.ts'

const INSPECT_ALL: TlsInspector = {
  enableJa3Fingerprinting: undefined,
  enableJa4Fingerprinting: undefined,
  initialReadBufferSize: undefined,
  closeConnectionOnClientHelloParsingErrors: false,
  maxClientHelloSize: undefined,
}

/** The filters of a listener, and no others: Envoy adds no `tls_inspector` of its own either (since 1.16). */
export function buildListenerFilters(
  message: ListenerMessage,
  path: string,
  env: Environment,
  errors: BuildErrors,
): ListenerFilter[] {
  const filters: ListenerFilter[] = []
  message.listenerFilters.forEach((filter, i) => {
    const at = `${path}.listener_filters[${i}]`
    const factory = env.listenerFilters.get(filter.typedConfig?.typeUrl ?? '') ?? env.listenerFilters.get(filter.name)
    if (factory === undefined) {
      errors.add(at, `listener filter '${filter.name}' is not known`, filter)
      return
    }
    errors.attempt(`${at}.typed_config`, filter, () => {
      const config = factory.decodeConfig((filter.typedConfig?.value ?? INSPECT_ALL) as never)
      const created = factory.create(config as never, { stats: env.stats })
      filters.push(filter.filterDisabled === undefined ? created : new Conditional(created, filter.filterDisabled))
    })
  })
  const known = (kind: string) =>
    message.listenerFilters.some(
      ({ name, typedConfig }) => name.endsWith(kind) || typedConfig?.typeUrl.endsWith(INSPECTORS[kind]!) === true,
    )
  const asks = message.filterChains.some(({ filterChainMatch }) =>
    asksForTls(filterChainMatch, known('http_inspector')),
  )
  if (asks && !known('tls_inspector')) {
    errors.warn(
      `${path}.filter_chains`,
      'filter_chain_match asks for what only the listener filter envoy.filters.listener.tls_inspector can see; without ' +
        'it no connection fits (neither does one in Envoy)',
      message,
    )
  }
  return filters
}

const INSPECTORS: Readonly<Record<string, string>> = {
  tls_inspector: '.TlsInspector',
  http_inspector: '.HttpInspector',
}

/** `httpInspected`: the version of plaintext HTTP is known, which is a protocol of its own. */
function asksForTls(match: FilterChainMatch | undefined, httpInspected: boolean): boolean {
  if (match === undefined) return false
  const { serverNames, transportProtocol, applicationProtocols } = match
  if (transportProtocol === 'tls' || serverNames.length > 0) return true
  return transportProtocol === '' && applicationProtocols.length > 0 && !httpInspected
}

/** A filter that some connections pass by (`filter_disabled`). */
class Conditional implements ListenerFilter {
  readonly #filter: ListenerFilter
  readonly #disabled: ListenerFilterChainMatchPredicate
  constructor(filter: ListenerFilter, disabled: ListenerFilterChainMatchPredicate) {
    this.#filter = filter
    this.#disabled = disabled
  }
  inspect(bytes: Buffer, socket: InspectedSocket): ListenerFilterStatus {
    return holds(this.#disabled, socket) ? ListenerFilterStatus.Done : this.#filter.inspect(bytes, socket)
  }
}

function holds(predicate: ListenerFilterChainMatchPredicate, socket: InspectedSocket): boolean {
  if (predicate.orMatch !== undefined) return predicate.orMatch.rules.some(rule => holds(rule, socket))
  if (predicate.andMatch !== undefined) return predicate.andMatch.rules.every(rule => holds(rule, socket))
  if (predicate.notMatch !== undefined) return !holds(predicate.notMatch, socket)
  if (predicate.anyMatch !== undefined) return predicate.anyMatch
  const range = predicate.destinationPortRange
  return range !== undefined && socket.local.port >= range.start && socket.local.port < range.end
}
