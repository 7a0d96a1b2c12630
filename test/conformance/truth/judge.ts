/** Holds what the sidecars say against what was really broken, by id, and counts. */

import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'
import { type MergedFailure, mergeFailures } from '../../../sidecar/failure-origin/merge.ts'
import { type Cause, CONFIDENCES, type Confidence } from '../../../sidecar/failure-origin/record.ts'
import { type Fault, isVisible } from './faults.ts'
import type { Run, Seen } from './load.ts'

export interface Named {
  readonly seen: Seen
  /** Undefined: no sidecar knows of it. */
  readonly failure: MergedFailure | undefined
  /** Said by the first sidecar of the chain. */
  readonly confidence: Confidence
  readonly right: boolean
}

export interface Verdict {
  readonly requests: number
  /** Failures that clients saw. */
  readonly visible: readonly Named[]
  readonly right: number
  /**
   * Failures that nobody was to see: masked, or repaired. They are found by the id of the request, so only where
   * applications hand that on.
   */
  readonly hidden: readonly Named[]
  /** Failures seen that nobody was to see, and the other way round. */
  readonly surprises: readonly Seen[]
  /** Failures that some sidecar takes responsibility for, merged by id. */
  readonly origins: number
  readonly masked: number
  readonly retried: number
  readonly background: number
  /** Whoever was to hear of it had gone. */
  readonly cancelled: number
  /** Began somewhere and ended nowhere. */
  readonly lost: readonly MergedFailure[]
  /** Seen by clients, and no sidecar says that it began there. */
  readonly withoutOrigin: readonly Named[]
  /** Several accounts of their beginning that are neither of one wait nor of one cut. */
  readonly twice: readonly MergedFailure[]
  /** Entries with the role `origin`, and by how much the counters of that role rose. */
  readonly originEntries: number
  readonly originCounted: number
}

export interface Truth {
  /** One of these; several where nobody can tell which. */
  readonly origins: readonly string[]
  readonly causes: readonly Cause[]
  readonly subCause?: string | undefined
}

/** What really was broken; a lying harness puts another answer here. */
export type TruthOf = (seen: Seen) => Truth | undefined

const honest: TruthOf = ({ plan }) => plan.fault && truthOfFault(plan.fault)

export function truthOfFault({ origin, causes, subCause }: Fault): Truth {
  return { origins: [origin], causes, subCause }
}

export function judge({ entry: head, seen, evidence }: Run, truthOf: TruthOf = honest): Verdict {
  const merged = mergeFailures(evidence.entries)
  const byId = new Map<string, MergedFailure>()
  for (const failure of merged) for (const id of failure.ids) byId.set(id, failure)
  const atHead = new Map<string, FailureEntry>()
  for (const entry of evidence.entries) if (isAnswerOf(head, entry)) atHead.set(entry.requestId, entry)

  const byRequest = Map.groupBy(
    merged.filter(({ hasOrigin }) => hasOrigin),
    ({ entries }) => entries.find(({ role }) => role === 'origin')!.requestId,
  )

  const visible: Named[] = []
  const hidden: Named[] = []
  const surprises: Seen[] = []
  const shown = new Set<MergedFailure>()
  for (const one of seen) {
    if (isFailed(one) !== isVisible(one.plan)) surprises.push(one)
    if (!isFailed(one)) {
      if (one.plan.fault !== undefined && one.plan.abortAfterMs === undefined) hidden.push(hiddenOf(one))
      continue
    }
    const entry = atHead.get(one.requestId)
    const failure = byId.get(entry?.id ?? one.failureId)
    // Two requests may not point at one failure: then one of them has none.
    const own = failure !== undefined && !shown.has(failure)
    if (own) shown.add(failure)
    const truth = truthOf(one)
    const right =
      own &&
      (one.cut || one.failureId === entry?.id) &&
      truth?.origins.includes(failure.origin) === true &&
      truth.causes.includes(failure.cause) &&
      (truth.subCause ?? failure.subCause) === failure.subCause
    visible.push({ seen: one, failure, confidence: entry?.confidence ?? 'none', right })
  }

  function hiddenOf(one: Seen): Named {
    const truth = truthOf(one)
    const found = byRequest.get(one.requestId) ?? []
    const isRight = ({ origin, cause }: MergedFailure) =>
      truth?.origins.includes(origin) === true && truth.causes.includes(cause)
    const failure = found.find(isRight) ?? found[0]
    const wrong = found.some(each => !isRight(each))
    return { seen: one, failure, confidence: failure?.confidence ?? 'none', right: failure !== undefined && !wrong }
  }

  let origins = 0
  const counts = { masked: 0, retried: 0, background: 0, cancelled: 0 }
  const lost: MergedFailure[] = []
  const twice: MergedFailure[] = []
  for (const failure of merged) {
    if (!failure.hasOrigin) continue
    origins++
    if (startsTwice(failure)) twice.push(failure)
    const roles = new Set(failure.entries.map(entry => entry.role))
    if (shown.has(failure)) continue
    // Where it was repaired, nobody further up could see it.
    if (roles.has('retried')) counts.retried++
    else if (roles.has('masked')) counts.masked++
    else if (roles.has('background')) counts.background++
    // The caller had gone when it failed.
    else if (roles.has('cancelled')) counts.cancelled++
    else lost.push(failure)
  }
  let originCounted = 0
  for (const [key, value] of evidence.counted) if (key.endsWith(' origin')) originCounted += value
  return {
    requests: seen.length,
    visible,
    hidden,
    right: visible.filter(({ right }) => right).length,
    surprises,
    origins,
    ...counts,
    lost,
    withoutOrigin: visible.filter(({ failure }) => failure?.hasOrigin !== true),
    twice,
    originEntries: evidence.entries.filter(entry => entry.role === 'origin').length,
    originCounted,
  }
}

export function isFailed({ status, cut, plan }: Seen): boolean {
  if (plan.abortAfterMs !== undefined) return false
  return status === 0 || status >= 400 || cut
}

function isAnswerOf(hop: string, { service, side, role }: FailureEntry): boolean {
  return service === hop && side === 'inbound' && (role === 'origin' || role === 'propagated')
}

/** Everybody who waited says for whom; only one may say that it began with him. */
function startsTwice({ entries }: MergedFailure): boolean {
  return entries.filter(entry => entry.role === 'origin' && entry.subCause !== 'waiting_on').length > 1
}

/** How many of each confidence there are, and how many of these are right. */
export function byConfidence(named: readonly Named[]): Map<Confidence, { all: number; right: number }> {
  const counts = new Map<Confidence, { all: number; right: number }>()
  for (const confidence of CONFIDENCES) {
    const said = named.filter(one => one.confidence === confidence)
    if (said.length > 0) counts.set(confidence, { all: said.length, right: said.filter(({ right }) => right).length })
  }
  return counts
}

export function describeMiss({ seen, failure, confidence }: Named): string {
  const { fault, manner, besides } = seen.plan
  const truth = fault === undefined ? 'nothing' : `${fault.hop}:${fault.kind}`
  const beside = besides === undefined ? '' : ` beside ${besides.hop}:${besides.kind}`
  const said =
    failure === undefined ? 'unnamed' : `${failure.origin}:${failure.cause}/${failure.subCause} by ${failure.by}`
  return `${truth} ${manner}${beside} → ${said} ${confidence} (${seen.status}${seen.cut ? ' cut' : ''})`
}
