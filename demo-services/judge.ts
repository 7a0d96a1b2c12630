/**
 * Who is to blame, from the sidecars' output alone, and is that the truth? Pure functions: entries of `/failures` and
 * counters in, a name and a verdict out. What callers saw, and what was really broken, play no part in the naming.
 */
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import { type LocatedFailure, locateFailures } from '../sidecar/failure-origin/locate.ts'
import { CONFIDENCES, type Confidence } from '../sidecar/failure-origin/record.ts'
import type { Outcome, Truth } from './catalogue.ts'

/** What the sidecars said in the time of one fault. */
export interface Evidence {
  /** Of all sidecars. */
  readonly entries: readonly FailureEntry[]
  /** `hopwise_failures_total{role="origin"}` by origin: how much it rose. */
  readonly originCounts: ReadonlyMap<string, number>
  /** Seconds per request spent in each service, and in each that has no sidecar as its callers waited for it. */
  readonly secondsPerRequest: ReadonlyMap<string, number>
  /** The same before the fault. */
  readonly usualSecondsPerRequest: ReadonlyMap<string, number>
}

export interface Named {
  /** Undefined: nobody is blamed. */
  readonly origin: string | undefined
  readonly cause: string
  readonly subCause: string
  readonly outcome: Outcome
  /** Failures, merged by id, that this names. */
  readonly count: number
  /** Of all failures of the time, how many say the same origin; 0 to 1. */
  readonly share: number
  /** The same of those that are not just `likely`, without those of others that a retry put right. */
  readonly sureShare: number
  /** Share of each confidence, best first; the lowest on the way to whoever saw it. */
  readonly confidences: readonly (readonly [Confidence, number])[]
  /** From origin to the last that passed it on. */
  readonly path: readonly string[]
  readonly details: string
  /** An example, to look at. */
  readonly failureId: string
  readonly traceId: string
  /** All causes of this origin, with how often. */
  readonly causes: readonly (readonly [string, number])[]
  /** Who else is blamed (`c: app_error`), with how often. */
  readonly others: readonly (readonly [string, number])[]
  readonly attempts: number
  /** Milliseconds per request above the usual, for `slow`. */
  readonly slowerMs: number
}

export interface Verdict {
  readonly right: boolean
  /** Why not; '' when right. */
  readonly why: string
}

/**
 * Of the failures that the sidecars are sure about, so many must say the same; of all, with those they call `likely`, so
 * many. Every fault has a few dozens of requests here, so this is coarser than the floors of `failure-origin.md`, which
 * the truth test measures with hundreds.
 */
const LEAST_SURE_SHARE = 0.95
const LEAST_SHARE = 0.7
/** A failure that shows this often counts as visible. */
const LEAST_VISIBLE = 0.05
/** A service is slow when it takes this much longer than it used to. */
const SLOW_MS = 20

const EDGES: ReadonlySet<string> = new Set(['front'])

export function locate(entries: readonly FailureEntry[]): LocatedFailure[] {
  return locateFailures(entries, EDGES)
}

/** Whom the sidecars blame for what happened, or who is slow when nothing failed. */
export function nameCulprit(evidence: Evidence): Named | undefined {
  const failures = locate(evidence.entries)
  const blamed = failures.filter(({ merged }) => merged.hasOrigin)
  if (blamed.length > 0) return nameOrigin(blamed)
  if (failures.length > 0) {
    const example = failures[0]!
    return {
      ...nothing,
      cause: 'cancelled',
      outcome: 'cancelled',
      count: failures.length,
      share: 1,
      sureShare: 1,
      failureId: example.merged.id,
      traceId: example.traceId,
    }
  }
  return nameSlowest(evidence)
}

const nothing: Named = {
  origin: undefined,
  cause: '',
  subCause: '',
  outcome: 'slow',
  count: 0,
  share: 0,
  sureShare: 0,
  confidences: [],
  path: [],
  details: '',
  failureId: '',
  traceId: '',
  causes: [],
  others: [],
  attempts: 1,
  slowerMs: 0,
}

function nameOrigin(blamed: readonly LocatedFailure[]): Named {
  const origin = mostOf(blamed, ({ merged }) => merged.origin)[0]![0]
  const ofOrigin = blamed.filter(({ merged }) => merged.origin === origin)
  const causes = mostOf(ofOrigin, ({ merged }) => merged.cause)
  const cause = causes[0]![0]
  const ofCause = ofOrigin.filter(({ merged }) => merged.cause === cause)
  const outcomes = mostOf(ofCause, located => located.outcome)
  const seen = outcomes.find(([outcome]) => outcome === 'visible')?.[1] ?? 0
  // Of a dozen calls that fail for one request, one is its reason and the others are masked.
  const outcome = seen > LEAST_VISIBLE * ofCause.length ? 'visible' : outcomes[0]![0]
  const others = blamed.filter(({ merged }) => merged.origin !== origin)
  // A processor that is busy for a moment makes a call fail now and then. What a retry put right contradicts nobody.
  const contradicting = outcome === 'retried' ? others : others.filter(located => located.outcome !== 'retried')
  // One that was seen makes the better example: its path and its trace are whole.
  const alike = ofCause.filter(located => located.outcome === outcome)
  const example = alike.reduce((best, next) => (next.path.length > best.path.length ? next : best))
  const confidences = mostOf(ofCause, ({ confidence }) => confidence)
    .map(([confidence, count]) => [confidence, count / ofCause.length] as const)
    .sort((x, y) => CONFIDENCES.indexOf(x[0]) - CONFIDENCES.indexOf(y[0]))
  return {
    ...nothing,
    origin,
    cause,
    subCause: example.merged.subCause,
    outcome,
    count: ofOrigin.length,
    share: ofOrigin.length / blamed.length,
    sureShare: sure(contradicting) === 0 ? 1 : sure(ofOrigin) / (sure(ofOrigin) + sure(contradicting)),
    confidences,
    path: example.path,
    details:
      example.merged.entries.find(({ id, details }) => id === example.merged.id && details !== '')?.details ?? '',
    failureId: example.merged.id,
    traceId: example.traceId,
    causes,
    others: mostOf(others, ({ merged, confidence }) => `${merged.origin}: ${merged.cause}, ${confidence}`),
    attempts: Math.max(...alike.map(({ attempts }) => attempts)),
  }
}

function sure(failures: readonly LocatedFailure[]): number {
  return failures.filter(({ confidence }) => confidence !== 'likely' && confidence !== 'none').length
}

/** The service whose requests take so much longer than they used to, if any does. */
export function nameSlowest({ secondsPerRequest, usualSecondsPerRequest }: Evidence): Named | undefined {
  let origin: string | undefined
  let slowerMs = SLOW_MS
  let slower = 0
  for (const [service, seconds] of secondsPerRequest) {
    const more = (seconds - (usualSecondsPerRequest.get(service) ?? 0)) * 1000
    if (more > SLOW_MS) slower += more
    if (more <= slowerMs) continue
    origin = service
    slowerMs = more
  }
  if (origin === undefined) return undefined
  return { ...nothing, origin, cause: 'slow', share: slowerMs / slower, sureShare: 1, slowerMs }
}

/** Does what the sidecars say agree with what was announced to be broken? */
export function judge(named: Named | undefined, truth: Truth, evidence: Evidence): Verdict {
  const wrong = (why: string): Verdict => ({ right: false, why })
  if (named === undefined) return wrong('the sidecars saw nothing')
  if (truth.origin === undefined) {
    if (named.origin !== undefined) return wrong(`${named.origin} is blamed, though nobody is to be`)
    return named.count > 0 ? right : wrong('the sidecars saw nothing')
  }
  if (named.origin !== truth.origin) return wrong(`it was ${truth.origin}`)
  if (truth.causes.length > 0 && !(truth.causes as readonly string[]).includes(named.cause)) {
    return wrong(`the cause was ${truth.causes[0]}`)
  }
  if (truth.causes.length > 0 && !named.causes.some(([cause]) => cause === truth.causes[0])) {
    return wrong(`never ${truth.causes[0]}`)
  }
  if (!truth.outcomes.includes(named.outcome)) return wrong(`${named.outcome}, though it was ${truth.outcomes[0]}`)
  if (named.outcome === 'slow') return right
  if (named.share < LEAST_SHARE || named.sureShare < LEAST_SURE_SHARE) {
    const others = named.others.map(([other, count]) => `${other} ×${count}`).join(', ')
    return wrong(`others are blamed as well, in ${percent(1 - named.share)} (${others})`)
  }
  if (truth.attempts !== undefined && named.attempts < truth.attempts) {
    return wrong(`${named.attempts} attempts, there were ${truth.attempts}`)
  }
  const counted = [...evidence.originCounts].sort((x, y) => y[1] - x[1])[0]
  if (counted !== undefined && counted[0] !== named.origin) return wrong(`the metrics blame ${counted[0]}`)
  return right
}

const right: Verdict = { right: true, why: '' }

/** Values with their counts, the most frequent first; of equals the one that came first. */
function mostOf<T, K>(items: readonly T[], keyOf: (item: T) => K): [K, number][] {
  const counts = new Map<K, number>()
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1)
  return [...counts].sort((x, y) => y[1] - x[1])
}

export function percent(share: number): string {
  const value = share * 100
  return `${value > 99 && value < 100 ? value.toFixed(1) : Math.round(value)} %`
}
