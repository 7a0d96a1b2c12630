/**
 * Rate limit actions (`envoy.config.route.v3.RateLimit`), compiled: what a request is for the purposes of rate limits,
 * as a list of keys and values.
 *
 * Each `RateLimit` gives one descriptor with an entry per action, or none where an action has nothing to say of the
 * request (a header that is absent, unless `skip_if_absent`, which leaves out that entry alone).
 *
 * Values of `generic_key` and the `…_match` actions are taken as they stand, as Envoy 1.40 does by default; only
 * `remote_address_match` has its value formatted.
 */
import { addressBits, CidrSet } from '../../base/cidr.ts'
import type { RequestHeaders } from '../../codec/header-map.ts'
import type {
  MetadataKey,
  QueryParameterMatcher,
  RateLimit,
  RateLimit_Action,
  RateLimit_XRateLimitOption,
} from '../../config/schema/generated/types.ts'
import type { HttpStream } from '../../filter-chain/http-filter.ts'
import { binaryText } from '../../observability/formatter/context.ts'
import { allMatch, headerMatchers } from '../../router/header-matcher.ts'
import type { Mistakes } from '../../router/mistakes.ts'
import type { RouteEntry } from '../../router/route-entry.ts'
import { type StringMatch, stringMatch } from '../../router/string-matcher.ts'
import { compileValue, type ValueFormat } from './header-mutations.ts'
import { parseQuery } from './query-string.ts'

/** More hits than this are a mistake (Envoy: `RateLimit.HitsAddend.number`). */
const MAX_HITS = 1_000_000_000

export interface DescriptorEntry {
  readonly key: string
  readonly value: string
}

export interface Descriptor {
  readonly entries: readonly DescriptorEntry[]
  /** Undefined where the configuration does not say: one. */
  readonly hits: number | undefined
  /** The hits are given back instead of taken. */
  readonly givesBack: boolean
  readonly xRateLimit: RateLimit_XRateLimitOption
}

/** Text that is the same for the same entries: neither wire values nor sensible keys contain NUL. */
export function descriptorText(entries: readonly DescriptorEntry[]): string {
  let text = ''
  for (const { key, value } of entries) text += `${key}\0${value}\0`
  return text
}

/** What an action adds: an entry, nothing (`skip_if_absent`), or a veto against the whole descriptor. */
const VETO = Symbol('no descriptor')
type Addition = DescriptorEntry | undefined | typeof VETO
type Action = (stream: HttpStream, headers: RequestHeaders, localCluster: string) => Addition

export class RateLimitActions {
  readonly stage: number
  readonly disableKey: string
  readonly onStreamDone: boolean
  readonly #actions: readonly Action[]
  readonly #hits: number | undefined
  readonly #hitsFormat: ValueFormat | undefined
  readonly #givesBack: boolean
  readonly #xRateLimit: RateLimit_XRateLimitOption

  constructor(message: RateLimit, mistakes: Mistakes) {
    this.stage = message.stage ?? 0
    this.disableKey = message.disableKey
    this.onStreamDone = message.applyOnStreamDone
    this.#actions = message.actions.map((action, i) => compileAction(action, mistakes.below(`actions[${i}]`, action)))
    const hits = message.hitsAddend
    if (hits?.number !== undefined && hits.format !== '') {
      mistakes.error('hits_addend', 'must have number or format, not both')
    }
    this.#hits = hits?.number
    this.#hitsFormat =
      hits === undefined || hits.format === '' ? undefined : compileValue(hits.format, 'hits_addend.format', mistakes)
    this.#givesBack = hits?.isNegativeHits ?? false
    this.#xRateLimit = message.xRatelimitOption
  }

  /** The descriptor of a request; undefined where the actions do not apply to it. */
  describe(stream: HttpStream, headers: RequestHeaders, localCluster: string): Descriptor | undefined {
    const entries: DescriptorEntry[] = []
    for (const action of this.#actions) {
      const addition = action(stream, headers, localCluster)
      if (addition === VETO) return undefined
      if (addition !== undefined) entries.push(addition)
    }
    if (entries.length === 0) return undefined
    let hits = this.#hits
    if (this.#hitsFormat !== undefined) {
      const text = this.#hitsFormat(stream).trim()
      hits = text === '' ? Number.NaN : Math.floor(Number(text))
      if (!(hits >= 0 && hits <= MAX_HITS)) return undefined
    }
    return { entries, hits, givesBack: this.#givesBack, xRateLimit: this.#xRateLimit }
  }
}

/** Compiles every `RateLimit` of a list that stands in `field` of the current message. */
export function rateLimitActions(
  messages: readonly RateLimit[],
  mistakes: Mistakes,
  field: string,
): RateLimitActions[] {
  return messages.map((message, i) => new RateLimitActions(message, mistakes.below(`${field}[${i}]`, message)))
}

function compileAction(action: RateLimit_Action, mistakes: Mistakes): Action {
  if (action.sourceCluster !== undefined) {
    return (_stream, _headers, localCluster) => ({ key: 'source_cluster', value: localCluster })
  }
  if (action.destinationCluster !== undefined) {
    return stream => ({ key: 'destination_cluster', value: stream.route?.clusterName ?? '' })
  }
  if (action.requestHeaders !== undefined) {
    const { headerName, descriptorKey: key, skipIfAbsent } = action.requestHeaders
    const name = headerName.toLowerCase()
    return (_stream, headers) => entryOrAbsent(key, headers.get(name), skipIfAbsent)
  }
  if (action.queryParameters !== undefined) {
    const { queryParameterName: name, descriptorKey: key, skipIfAbsent } = action.queryParameters
    return (_stream, headers) => entryOrAbsent(key, parseQuery(headers.path).get(name)?.[0], skipIfAbsent)
  }
  if (action.remoteAddress !== undefined) {
    return stream => entryOrAbsent('remote_address', stream.info.remote.ip || undefined, false)
  }
  if (action.maskedRemoteAddress !== undefined) {
    const { v4PrefixMaskLen = 32, v6PrefixMaskLen = 128 } = action.maskedRemoteAddress
    return stream =>
      entryOrAbsent(
        'masked_remote_address',
        maskedAddress(stream.info.remote.ip, v4PrefixMaskLen, v6PrefixMaskLen),
        false,
      )
  }
  if (action.genericKey !== undefined) {
    const { descriptorKey, descriptorValue } = action.genericKey
    const entry = constantEntry(descriptorKey || 'generic_key', descriptorValue)
    return () => entry
  }
  if (action.headerValueMatch !== undefined) {
    const { descriptorKey, descriptorValue, expectMatch = true, headers } = action.headerValueMatch
    const entry = constantEntry(descriptorKey || 'header_match', descriptorValue)
    const matchers = headerMatchers(headers, mistakes, 'header_value_match.headers')
    return (_stream, requestHeaders) => (allMatch(matchers, requestHeaders) === expectMatch ? entry : VETO)
  }
  if (action.queryParameterValueMatch !== undefined) {
    const { descriptorKey, descriptorValue, expectMatch = true, queryParameters } = action.queryParameterValueMatch
    const entry = constantEntry(descriptorKey || 'query_match', descriptorValue)
    const matchers = queryParameters.map((matcher, i) =>
      queryMatcher(matcher, mistakes.below(`query_parameter_value_match.query_parameters[${i}]`, matcher)),
    )
    return (_stream, headers) => {
      const query = parseQuery(headers.path)
      return matchers.every(matches => matches(query)) === expectMatch ? entry : VETO
    }
  }
  if (action.remoteAddressMatch !== undefined) return remoteAddressMatch(action.remoteAddressMatch, mistakes)
  if (action.metadata !== undefined) {
    const { metadataKey, descriptorKey: key, defaultValue, skipIfAbsent, source } = action.metadata
    if (source !== 'DYNAMIC' && source !== 'ROUTE_ENTRY')
      mistakes.error('metadata.source', `${source} is not supported`)
    return stream =>
      entryOrAbsent(key, metadataText(stream, metadataKey, source) ?? (defaultValue || undefined), skipIfAbsent)
  }
  if (action.dynamicMetadata !== undefined) {
    const { metadataKey, descriptorKey: key, defaultValue } = action.dynamicMetadata
    return stream =>
      entryOrAbsent(key, metadataText(stream, metadataKey, 'DYNAMIC') ?? (defaultValue || undefined), false)
  }
  mistakes.error('extension', 'descriptor extensions are not supported')
  return () => VETO
}

/** Texts of configuration in the form of values from the wire. */
function constantEntry(key: string, value: string): DescriptorEntry {
  return { key: binaryText(key), value: binaryText(value) }
}

function entryOrAbsent(key: string, value: string | undefined, skipIfAbsent: boolean): Addition {
  if (value !== undefined) return { key, value }
  return skipIfAbsent ? undefined : VETO
}

function remoteAddressMatch(message: NonNullable<RateLimit_Action['remoteAddressMatch']>, mistakes: Mistakes): Action {
  const { descriptorKey, descriptorValue, defaultValue, addressMatcher } = message
  const key = descriptorKey || 'remote_address_match'
  const format = compileValue(descriptorValue, 'remote_address_match.descriptor_value', mistakes)
  const ranges = new CidrSet(addressMatcher?.ranges ?? [])
  const inverted = addressMatcher?.invertMatch ?? false
  return stream => {
    if (ranges.has(stream.info.remote.ip) === inverted) return VETO
    return entryOrAbsent(key, format(stream) || defaultValue || undefined, false)
  }
}

function queryMatcher(message: QueryParameterMatcher, mistakes: Mistakes): (query: Map<string, string[]>) => boolean {
  const { name, stringMatch: matcher, presentMatch } = message
  if (matcher === undefined) return query => query.has(name) === (presentMatch ?? true)
  const match: StringMatch = stringMatch(matcher, 'string_match', mistakes)
  return query => {
    const value = query.get(name)?.[0]
    return value !== undefined && match.matches(value)
  }
}

/** Only texts count, and not the empty one. */
function metadataText(stream: HttpStream, path: MetadataKey | undefined, source: string): string | undefined {
  if (path === undefined) return undefined
  let value: unknown =
    source === 'DYNAMIC'
      ? stream.info.dynamicMetadata?.get(path.key)
      : (stream.route as RouteEntry | undefined)?.metadata?.filterMetadata.get(path.key)
  for (const segment of path.path) {
    if (typeof value !== 'object' || value === null) return undefined
    const key = segment.key ?? String(segment.index ?? '')
    value = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
  }
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** `10.1.0.0/16`: the address with all bits after the prefix cleared. */
function maskedAddress(ip: string, v4Length: number, v6Length: number): string | undefined {
  const address = addressBits(ip)
  if (address === undefined) return undefined
  const { bits, width } = address
  const length = width === 32 ? v4Length : v6Length
  const masked = (bits >> BigInt(width - length)) << BigInt(width - length)
  return `${width === 32 ? ipv4Text(masked) : ipv6Text(masked)}/${length}`
}

function ipv4Text(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map(shift => String((bits >> shift) & 255n)).join('.')
}

/** RFC 5952: lower case, no leading zeros, the longest run of zero groups (of two or more) as `::`. */
function ipv6Text(bits: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bits >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  const runs = [...groups.join(':').matchAll(/\b0(?::0)+\b/g)].map(match => match[0])
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '')
  const text = groups.join(':')
  if (longest === '') return text
  const at = text.search(new RegExp(`(?:^|:)${longest}(?:$|:)`))
  const start = text[at] === ':' ? at : 0
  return `${text.slice(0, start)}::${text.slice(start + longest.length + (start === 0 ? 1 : 2))}`
}
