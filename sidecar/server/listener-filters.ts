/** Listener filters from configuration. */
import type {
  FilterChainMatch,
  ListenerFilterChainMatchPredicate,
  Listener as ListenerMessage,
  TlsInspector,
} from '../config/schema/generated/types.ts'
import { type InspectedSocket, type ListenerFilter, ListenerFilterStatus } from '../filter-chain/listener-filter.ts'
import { logger } from '../observability/logging.ts'
import type { BuildErrors } from './chains.ts'
import type { Environment } from './environment.ts'

const log = logger('listener')

const TLS_INSPECTOR = 'envoy.filters.listener.tls_inspector'
const INSPECT_ALL: TlsInspector = {
  enableJa3Fingerprinting: undefined,
  enableJa4Fingerprinting: undefined,
  initialReadBufferSize: undefined,
  closeConnectionOnClientHelloParsingErrors: false,
  maxClientHelloSize: undefined,
}

/** The filters of a listener; `tls_inspector` is added where chains ask for what only it can find, as in Envoy. */
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
  const inspected = message.listenerFilters.some(
    ({ name, typedConfig }) => name === TLS_INSPECTOR || typedConfig?.typeUrl.endsWith('.TlsInspector') === true,
  )
  if (!inspected && message.filterChains.some(({ filterChainMatch }) => asksForTls(filterChainMatch))) {
    log.warning(
      { listener: message.name },
      'filter chain match rules require TLS Inspector listener filter, but it is not configured: added',
    )
    const factory = env.listenerFilters.get(TLS_INSPECTOR)
    if (factory !== undefined) {
      filters.unshift(factory.create(factory.decodeConfig(INSPECT_ALL as never) as never, { stats: env.stats }))
    }
  }
  return filters
}

function asksForTls(match: FilterChainMatch | undefined): boolean {
  if (match === undefined) return false
  const { serverNames, transportProtocol, applicationProtocols } = match
  return (
    transportProtocol === 'tls' ||
    (transportProtocol === '' && (serverNames.length > 0 || applicationProtocols.length > 0))
  )
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
