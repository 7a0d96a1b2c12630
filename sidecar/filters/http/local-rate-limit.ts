/**
 * `envoy.filters.http.local_ratelimit`: lets through as many requests as a token bucket has tokens, and refuses the rest
 * with 429. It does nothing until `filter_enabled` says so, and refuses nothing until `filter_enforced` does.
 *
 * A request may have descriptors (from `rate_limits` of the filter, or of its route and virtual host), and those may have
 * buckets of their own. All matching buckets must have a token, slowest first, and then the default bucket too, unless
 * `always_consume_default_token_bucket` is false. A configured descriptor with an empty value stands for every value,
 * each with a bucket of its own, of which the least recently used go when there are more than `max_dynamic_descriptors`.
 *
 * A route with a configuration of its own has its own buckets and stats. They live as long as that configuration.
 */
import { TokenBucket, type TokenBucketSettings } from '../../base/token-bucket.ts'
import type { RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type {
  HttpLocalRateLimit,
  LocalRateLimitDescriptor,
  RateLimit,
  TokenBucket as TokenBucketMessage,
  VhRateLimitsOptions,
} from '../../config/schema/generated/types.ts'
import { errorStatus } from '../../config/status-code.ts'
import {
  ConfigError,
  type FilterContext,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import type { RuntimeFraction } from '../../filter-chain/runtime.ts'
import { binaryText } from '../../observability/formatter/context.ts'
import { ResponseFlag } from '../../observability/response-flags.ts'
import type { Counter } from '../../observability/stats.ts'
import type { DownstreamConnectionInfo } from '../../observability/stream-info.ts'
import { Mistakes } from '../../router/mistakes.ts'
import type { RouteEntry } from '../../router/route-entry.ts'
import { HeaderMutations } from './header-mutations.ts'
import { proxyStateOf } from './proxy-state.ts'
import {
  type Descriptor,
  type DescriptorEntry,
  descriptorText,
  type RateLimitActions,
  rateLimitActions,
} from './rate-limit-descriptors.ts'
import { fractionOr } from './runtime-fraction.ts'

const DEFAULT_STATUS = 429
const DEFAULT_MAX_DYNAMIC_DESCRIPTORS = 20
/** Shorter intervals are refused, as by Envoy. */
const MIN_FILL_INTERVAL_MS = 50
const RESOURCE_EXHAUSTED = 8
const REASON = 'local_rate_limited'
const NO_DESCRIPTORS: readonly Descriptor[] = []

interface DescriptorConfig {
  readonly entries: readonly DescriptorEntry[]
  readonly bucket: TokenBucketSettings
  readonly shadow: boolean
}

interface LocalRateLimitConfig {
  /** Where this was decoded from: names the buckets that worker threads share. */
  readonly message: HttpLocalRateLimit
  readonly statPrefix: string
  readonly status: number
  readonly grpcStatus: number | undefined
  readonly bucket: TokenBucketSettings | undefined
  readonly enabled: RuntimeFraction
  readonly enforced: RuntimeFraction
  readonly descriptors: readonly DescriptorConfig[]
  readonly maxDynamicDescriptors: number
  readonly alwaysConsumesDefault: boolean
  readonly perConnection: boolean
  /** Actions of the filter's own; empty where those of route and virtual host apply. */
  readonly actions: readonly RateLimitActions[]
  readonly stage: number
  readonly virtualHostRateLimits: VhRateLimitsOptions
  readonly requestHeadersWhenNotEnforced: HeaderMutations
  readonly responseHeaders: HeaderMutations
  readonly xRateLimitHeaders: boolean
  readonly retryAfterHeader: boolean
}

export const localRateLimit: HttpFilterFactory<LocalRateLimitConfig> = {
  name: 'envoy.filters.http.local_ratelimit',
  typeUrl: 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  decodeConfig: decodeLocalRateLimit,
  decodeRouteConfig(message: HttpLocalRateLimit) {
    if (message.tokenBucket === undefined) throw new ConfigError('token_bucket', 'is required on routes')
    return decodeLocalRateLimit(message)
  },
  create(config, context) {
    const limits = new Limits(context)
    return () => new LocalRateLimit(config, limits)
  },
}

function decodeLocalRateLimit(message: HttpLocalRateLimit): LocalRateLimitConfig {
  const mistakes = new Mistakes(message)
  const { rateLimits } = message
  rateLimits.forEach((limit, i) => {
    const place = mistakes.below(`rate_limits[${i}]`, limit)
    for (const [field, value] of [
      ['stage', limit.stage || undefined],
      ['disable_key', limit.disableKey || undefined],
      ['limit', limit.limit],
    ] as const) {
      if (value !== undefined) place.error(field, 'is not supported in rate_limits of this filter')
    }
  })
  const descriptors = message.descriptors.map((descriptor, i) =>
    decodeDescriptor(descriptor, mistakes.below(`descriptors[${i}]`, descriptor)),
  )
  const seen = new Set<string>()
  descriptors.forEach(({ entries }, i) => {
    const text = descriptorText(entries)
    if (seen.has(text)) mistakes.error(`descriptors[${i}]`, 'is there twice')
    seen.add(text)
  })
  const config: LocalRateLimitConfig = {
    message,
    statPrefix: message.statPrefix,
    status: errorStatus(message.status, DEFAULT_STATUS),
    grpcStatus: message.rateLimitedAsResourceExhausted ? RESOURCE_EXHAUSTED : undefined,
    bucket: message.tokenBucket && bucketSettings(message.tokenBucket, mistakes),
    enabled: fractionOr(message.filterEnabled, 0),
    enforced: fractionOr(message.filterEnforced, 0),
    descriptors,
    maxDynamicDescriptors: message.maxDynamicDescriptors ?? DEFAULT_MAX_DYNAMIC_DESCRIPTORS,
    alwaysConsumesDefault: message.alwaysConsumeDefaultTokenBucket ?? true,
    perConnection: message.localRateLimitPerDownstreamConnection,
    actions: rateLimitActions(rateLimits, mistakes, 'rate_limits'),
    stage: message.stage,
    virtualHostRateLimits: message.vhRateLimits,
    requestHeadersWhenNotEnforced: HeaderMutations.adding(
      message.requestHeadersToAddWhenNotEnforced,
      mistakes,
      'request_headers_to_add_when_not_enforced',
    ),
    responseHeaders: HeaderMutations.adding(message.responseHeadersToAdd, mistakes, 'response_headers_to_add'),
    xRateLimitHeaders: message.enableXRatelimitHeaders === 'DRAFT_VERSION_03',
    retryAfterHeader: message.enableRetryAfterHeader,
  }
  mistakes.throwAll()
  return config
}

function decodeDescriptor(message: LocalRateLimitDescriptor, mistakes: Mistakes): DescriptorConfig {
  if (message.tokenBucket === undefined) mistakes.error('token_bucket', 'is required')
  const bucket = message.tokenBucket ?? { maxTokens: 0, tokensPerFill: 1, fillInterval: 1000 }
  return {
    entries: message.entries.map(({ key, value }) => ({ key: binaryText(key), value: binaryText(value) })),
    bucket: bucketSettings(bucket, mistakes),
    shadow: message.shadowMode,
  }
}

function bucketSettings(message: TokenBucketMessage, mistakes: Mistakes): TokenBucketSettings {
  const fillIntervalMs = message.fillInterval ?? 0
  // A bucket that never has a token need not be filled either.
  if (message.maxTokens > 0 && fillIntervalMs < MIN_FILL_INTERVAL_MS) {
    mistakes.error('token_bucket.fill_interval', `must be at least ${MIN_FILL_INTERVAL_MS} ms`)
  }
  return { maxTokens: message.maxTokens, tokensPerFill: message.tokensPerFill ?? 1, fillIntervalMs }
}

/** What one decision came to. */
interface Verdict {
  readonly allowed: boolean
  /** The bucket the headers tell of: the one that refused, else the slowest that matched, else the default one. */
  readonly bucket: TokenBucket | undefined
  readonly descriptor: Descriptor | undefined
  /** The bucket that refused only pretends to. */
  readonly shadow: boolean
}

interface Bucket {
  readonly tokens: TokenBucket
  readonly shadow: boolean
}

/** Makes the bucket `name` of one configuration; worker threads that make the same one share its tokens. */
type BucketMaker = (settings: TokenBucketSettings, name: string) => TokenBucket

function bucketMaker({ message, perConnection }: LocalRateLimitConfig, { clock, shared }: FilterContext): BucketMaker {
  // A connection is served by one thread.
  if (shared === undefined || perConnection) return settings => new TokenBucket(settings, clock)
  const place = shared.place(message)
  return (settings, name) => new TokenBucket(settings, clock, shared.bucket(`local_ratelimit ${place} ${name}`))
}

/** A configured descriptor some of whose values are empty: any value, each with a bucket of its own. */
class WildcardDescriptor {
  readonly #config: DescriptorConfig
  readonly #max: number
  readonly #make: BucketMaker
  /** By the text of the whole descriptor; the least recently used is first. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(config: DescriptorConfig, max: number, make: BucketMaker) {
    this.#config = config
    this.#max = max
    this.#make = make
  }

  matches(entries: readonly DescriptorEntry[]): boolean {
    const { entries: wanted } = this.#config
    return (
      entries.length === wanted.length &&
      wanted.every(({ key, value }, i) => key === entries[i]!.key && (value === '' || value === entries[i]!.value))
    )
  }

  bucketOf(text: string): Bucket {
    let bucket = this.#buckets.get(text)
    if (bucket === undefined) {
      const name = `${descriptorText(this.#config.entries)} = ${text}`
      bucket = { tokens: this.#make(this.#config.bucket, name), shadow: this.#config.shadow }
      if (this.#buckets.size >= this.#max) this.#buckets.delete(this.#buckets.keys().next().value!)
    } else this.#buckets.delete(text)
    this.#buckets.set(text, bucket)
    return bucket
  }
}

/** The buckets of one configuration (or of one connection, where each has its own). */
class Limiter {
  readonly #default: TokenBucket | undefined
  readonly #alwaysConsumesDefault: boolean
  readonly #buckets = new Map<string, Bucket>()
  readonly #wildcards: readonly WildcardDescriptor[]

  constructor(config: LocalRateLimitConfig, make: BucketMaker) {
    this.#default = config.bucket && make(config.bucket, 'default')
    this.#alwaysConsumesDefault = config.alwaysConsumesDefault
    const exact = config.descriptors.filter(({ entries }) => entries.every(({ value }) => value !== ''))
    for (const { entries, bucket, shadow } of exact) {
      const text = descriptorText(entries)
      this.#buckets.set(text, { tokens: make(bucket, text), shadow })
    }
    // Several may match; Envoy takes any, here the one with the most values said wins.
    const said = ({ entries }: DescriptorConfig) => entries.filter(({ value }) => value !== '').length
    this.#wildcards = config.descriptors
      .filter(descriptor => !exact.includes(descriptor))
      .sort((a, b) => said(b) - said(a))
      .map(descriptor => new WildcardDescriptor(descriptor, config.maxDynamicDescriptors, make))
  }

  decide(descriptors: readonly Descriptor[]): Verdict {
    const matches: { readonly descriptor: Descriptor; readonly bucket: Bucket }[] = []
    for (const descriptor of descriptors) {
      const bucket = this.#bucketOf(descriptor.entries)
      if (bucket !== undefined) matches.push({ descriptor, bucket })
    }
    // The slowest first, so that a request refused by it takes no tokens from the others.
    if (matches.length > 1) {
      matches.sort((a, b) => a.bucket.tokens.tokensPerSecond - b.bucket.tokens.tokensPerSecond)
    }
    for (const { descriptor, bucket } of matches) {
      const { tokens, shadow } = bucket
      const { hits = 1, givesBack } = descriptor
      if (givesBack && descriptor.hits !== undefined) tokens.give(hits)
      // A request of no hits is refused: odd, but so does Envoy (measured).
      else if (hits === 0 || !tokens.tryTake(hits)) return { allowed: false, bucket: tokens, descriptor, shadow }
    }
    const [first] = matches
    const told = { bucket: first?.bucket.tokens ?? this.#default, descriptor: first?.descriptor, shadow: false }
    if (this.#default === undefined || (first !== undefined && !this.#alwaysConsumesDefault)) {
      return { allowed: true, ...told }
    }
    if (this.#default.tryTake()) return { allowed: true, ...told }
    // A bucket that can never have a token has nothing to tell about itself.
    const bucket = this.#default.maxTokens === 0 ? undefined : this.#default
    return { allowed: false, bucket, descriptor: undefined, shadow: false }
  }

  #bucketOf(entries: readonly DescriptorEntry[]): Bucket | undefined {
    const text = descriptorText(entries)
    return this.#buckets.get(text) ?? this.#wildcards.find(wildcard => wildcard.matches(entries))?.bucketOf(text)
  }
}

/** Stats and buckets of one configuration, the filter's or a route's. */
class Limit {
  readonly enabled: Counter
  readonly enforced: Counter
  readonly ok: Counter
  readonly rateLimited: Counter
  readonly shadowMode: Counter
  readonly #config: LocalRateLimitConfig
  readonly #make: BucketMaker
  readonly #limiter: Limiter | undefined
  readonly #ofConnections = new WeakMap<DownstreamConnectionInfo, Limiter>()

  constructor(config: LocalRateLimitConfig, context: FilterContext) {
    this.#config = config
    this.#make = bucketMaker(config, context)
    const stats = context.rootStats.scope(`${config.statPrefix}.http_local_rate_limit`)
    this.enabled = stats.counter('enabled')
    this.enforced = stats.counter('enforced')
    this.ok = stats.counter('ok')
    this.rateLimited = stats.counter('rate_limited')
    this.shadowMode = stats.counter('shadow_mode')
    this.#limiter = config.perConnection ? undefined : new Limiter(config, this.#make)
  }

  limiterOf(connection: DownstreamConnectionInfo): Limiter {
    if (this.#limiter !== undefined) return this.#limiter
    let limiter = this.#ofConnections.get(connection)
    if (limiter === undefined) {
      limiter = new Limiter(this.#config, this.#make)
      this.#ofConnections.set(connection, limiter)
    }
    return limiter
  }
}

/** A route's buckets belong to its configuration, which several listeners may share. */
const limitsOfRoutes = new WeakMap<LocalRateLimitConfig, Limit>()

/** What the streams of one filter share. */
class Limits {
  readonly context: FilterContext
  readonly localCluster: string
  readonly #own = new WeakMap<LocalRateLimitConfig, Limit>()
  /** Actions of routes and virtual hosts, each list compiled once. */
  readonly #actions = new WeakMap<readonly RateLimit[], readonly RateLimitActions[]>()

  constructor(context: FilterContext) {
    this.context = context
    this.localCluster = proxyStateOf(context).localCluster
  }

  of(config: LocalRateLimitConfig, ofRoute: boolean): Limit {
    const limits = ofRoute ? limitsOfRoutes : this.#own
    let limit = limits.get(config)
    if (limit === undefined) {
      limit = new Limit(config, this.context)
      limits.set(config, limit)
    }
    return limit
  }

  actionsOf(messages: readonly RateLimit[]): readonly RateLimitActions[] {
    let actions = this.#actions.get(messages)
    if (actions === undefined) {
      const mistakes = new Mistakes()
      actions = rateLimitActions(messages, mistakes, 'rate_limits')
      // Mistakes have refused the route when it was loaded; what is left does not describe anything.
      if (mistakes.errors.length > 0) actions = []
      this.#actions.set(messages, actions)
    }
    return actions
  }
}

class LocalRateLimit implements HttpFilter {
  #config: LocalRateLimitConfig
  readonly #limits: Limits
  #verdict: Verdict | undefined = undefined
  #refused = false

  constructor(config: LocalRateLimitConfig, limits: Limits) {
    this.#config = config
    this.#limits = limits
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
    const { runtime, random, filterName } = this.#limits.context
    const routeConfig = stream.routeConfig<LocalRateLimitConfig>(filterName)
    const config = routeConfig ?? this.#config
    this.#config = config
    if (!runtime.enabled(config.enabled, random)) return FilterStatus.Continue
    const limit = this.#limits.of(config, routeConfig !== undefined)
    limit.enabled.inc()
    const verdict = limit.limiterOf(stream.info.downstream).decide(this.#describe(stream, headers))
    this.#verdict = verdict
    if (verdict.allowed) {
      limit.ok.inc()
      return FilterStatus.Continue
    }
    limit.rateLimited.inc()
    if (verdict.shadow) {
      limit.shadowMode.inc()
      return FilterStatus.Continue
    }
    if (!runtime.enabled(config.enforced, random)) {
      config.requestHeadersWhenNotEnforced.apply(headers, stream)
      return FilterStatus.Continue
    }
    limit.enforced.inc()
    this.#refused = true
    return stream.sendLocalReply({
      status: config.status,
      details: REASON,
      body: REASON,
      flag: ResponseFlag.RateLimited,
      ...(config.grpcStatus === undefined ? {} : { grpcStatus: config.grpcStatus }),
    })
  }

  onResponseHeaders(stream: HttpStream, headers: ResponseHeaders): FilterStatus {
    const bucket = this.#verdict?.bucket
    if (this.#refused) {
      this.#config.responseHeaders.apply(headers, stream)
      if (this.#config.retryAfterHeader && bucket !== undefined) {
        headers.set('retry-after', String(Math.max(1, secondsToNextToken(bucket))))
      }
    }
    if (bucket === undefined) return FilterStatus.Continue
    const option = this.#verdict!.descriptor?.xRateLimit ?? 'UNSPECIFIED'
    if (option === 'UNSPECIFIED' ? this.#config.xRateLimitHeaders : option === 'DRAFT_VERSION_03') {
      headers.add('x-ratelimit-limit', String(bucket.maxTokens))
      headers.add('x-ratelimit-remaining', String(Math.floor(bucket.tokens)))
      headers.add('x-ratelimit-reset', String(secondsToNextToken(bucket)))
    }
    return FilterStatus.Continue
  }

  #describe(stream: HttpStream, headers: RequestHeaders): readonly Descriptor[] {
    const { descriptors, actions, stage } = this.#config
    if (descriptors.length === 0) return NO_DESCRIPTORS
    const { localCluster } = this.#limits
    const found: Descriptor[] = []
    const add = (list: readonly RateLimitActions[], ofRoute: boolean) => {
      for (const action of list) {
        if (action.onStreamDone || (ofRoute && (action.stage !== stage || action.disableKey !== ''))) continue
        const descriptor = action.describe(stream, headers, localCluster)
        // Hits and header options are for `rate_limits` of the filter; Envoy ignores them elsewhere (measured).
        if (descriptor !== undefined) found.push(ofRoute ? { ...descriptor, hits: undefined } : descriptor)
      }
    }
    if (actions.length > 0) {
      add(actions, false)
      return found
    }
    const route = stream.route as RouteEntry | undefined
    if (route?.kind !== 'cluster') return found
    add(this.#limits.actionsOf(route.rateLimits), true)
    const option = route.includeVirtualHostRateLimits ? 'INCLUDE' : this.#config.virtualHostRateLimits
    if (option === 'INCLUDE' || (option === 'OVERRIDE' && route.rateLimits.length === 0)) {
      add(this.#limits.actionsOf(route.virtualHostRateLimits), true)
    }
    return found
  }
}

function secondsToNextToken(bucket: TokenBucket): number {
  return Math.ceil(bucket.msUntilNextToken / 1000)
}
