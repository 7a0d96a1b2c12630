/** What is broken for a while, and what the truth then is; helpers of those who list that. */
import { callerOf, type Outcome, type TrafficShape, type Truth } from '../demo-services/catalogue.ts'
import type { Cause } from '../sidecar/failure-origin/record.ts'

export interface Cell {
  readonly title: string
  /** For `break`. */
  readonly terms: readonly string[]
  /** Containers that are stopped. */
  readonly stopped?: readonly string[]
  /** Containers that stand still: what comes is taken by the kernel, and nobody answers. */
  readonly paused?: readonly string[]
  /** Another caller keeps this many requests open at the sidecar of an instance. */
  readonly burst?: { readonly of: string; readonly times: number }
  readonly traffic?: TrafficShape
  readonly truth: Truth
  /** Answers that are looked at, at the edge and inside. */
  readonly samples?: number
  /** How long it lasts. */
  readonly windowMs?: number
  /** It mends itself after this long: a process that was gone comes back. */
  readonly returnsMs?: number
  /** Of the record, where it is to say more than origin and cause. */
  readonly subCause?: string
  readonly details?: RegExp
  /** Who asked has given up before it could be told, so that only what all sidecars say together names the origin. */
  readonly heardLate?: boolean
  /** Not every request meets it, or its answer has no place for a record. */
  readonly seldom?: boolean
}

/**
 * b last: it copies no headers, so where requests overlap its sidecar goes by what it has seen of late, and b failing by
 * itself makes it believe that for a while.
 */
export const CHAIN = ['a', 'c', 'd', 'b'] as const
export const CALLERS = ['a', 'c', 'b'] as const
export const EVERYWHERE = ['a', 'c', 'd', 'outside', 'b'] as const
/** For what keeps requests waiting: more of them would fill the circuit breakers as well. */
export const WAITING: TrafficShape = { rate: 5 }

export const fails = (origin: string, first: Cause, ...others: readonly Cause[]): Truth => ({
  origin,
  causes: [first, ...others],
  outcomes: ['visible'],
})
export const ends = (truth: Truth, ...outcomes: Outcome[]): Truth => ({ ...truth, outcomes })

/** Has somebody ask a hop for something besides its usual work. Each keeps requests waiting. */
export interface Asked {
  readonly path: string
  /** Whoever asks; none where callers at the edge do. */
  readonly terms: readonly string[]
  readonly traffic: TrafficShape
}

/** What c takes over gRPC. */
const METHODS: Readonly<Record<string, string>> = { feed: 'Feed', quote: 'Quote' }

export function asked(hop: string, what: string): Asked {
  const path = hop === 'c' ? `/hopwise.demo.Chain/${METHODS[what]}` : `/${what}`
  if (hop === 'a') return { path, terms: [], traffic: { ...WAITING, path: `/shop${path}` } }
  return { path, terms: [`${callerOf(hop)}=call:${hop}${path}`], traffic: WAITING }
}
