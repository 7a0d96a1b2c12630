/** Holds what the sidecars say of a run against what really happened in it. */
import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'
import { type MergedFailure, mergeFailures } from '../../../sidecar/failure-origin/merge.ts'
import type { Reply, Simulation, Truth } from './simulation.ts'

export interface Visible {
  readonly plan: string
  readonly reply: Reply
}

export interface Verdicts {
  /** Failures that clients saw. */
  readonly visible: number
  /** Named with the right origin and cause after merging by id. */
  readonly right: number
  /** The right origin at least. */
  readonly rightOrigin: number
  readonly unnamed: number
  readonly wrong: readonly { readonly truth: Truth | undefined; readonly said: string; readonly confidence: string }[]
  /** Of the visible ones by the confidence with which the edge named them: how many, and how many right. */
  readonly byConfidence: ReadonlyMap<string, { all: number; right: number }>
  /** The same for failures that really are an application's own error. */
  readonly ownErrors: { all: number; right: number }
  readonly origins: number
  readonly masked: number
  readonly retried: number
  readonly background: number
  /** Failures with an origin that ended nowhere, and visible ones that nobody began. */
  readonly lost: readonly MergedFailure[]
  readonly withoutOrigin: readonly MergedFailure[]
}

export function isVisibleFailure(reply: Reply): boolean {
  return reply.status >= 500 || reply.status === 429 || reply.cut || reply.status === 0
}

export function check(sim: Simulation, edge: string, seen: readonly Visible[]): Verdicts {
  const merged = mergeFailures(sim.entries)
  const byId = new Map<string, MergedFailure>()
  for (const failure of merged) for (const id of failure.ids) byId.set(id, failure)
  const failed = seen.filter(({ reply }) => isVisibleFailure(reply))
  let right = 0
  let rightOrigin = 0
  let unnamed = 0
  const wrong: { truth: Truth | undefined; said: string; confidence: string }[] = []
  const byConfidence = new Map<string, { all: number; right: number }>()
  const ownErrors = { all: 0, right: 0 }
  for (const { reply } of failed) {
    const failure = byId.get(reply.headers.get('x-failure-id') ?? '')
    const { truth } = reply
    if (failure === undefined || truth === undefined) {
      unnamed++
      continue
    }
    const said = failure.entries.find(entry => isEdgeEntry(entry, edge))
    const confidence = said?.confidence ?? 'none'
    const count = byConfidence.get(confidence) ?? { all: 0, right: 0 }
    byConfidence.set(confidence, count)
    count.all++
    const isRight = failure.origin === truth.origin && sameCause(failure.cause, truth.cause)
    if (failure.origin === truth.origin) rightOrigin++
    if (truth.cause === 'app_error') {
      ownErrors.all++
      if (isRight) ownErrors.right++
    }
    if (isRight) {
      right++
      count.right++
    } else wrong.push({ truth, said: `${failure.origin} ${failure.cause} by ${failure.by}`, confidence })
  }
  const groups = { origins: 0, masked: 0, retried: 0, background: 0 }
  const lost: MergedFailure[] = []
  const withoutOrigin: MergedFailure[] = []
  for (const failure of merged) {
    const visible = failure.entries.some(entry => isEdgeEntry(entry, edge))
    const roles = new Set(failure.entries.map(entry => entry.role))
    if (failure.hasOrigin) groups.origins++
    else if (visible) withoutOrigin.push(failure)
    if (visible) continue
    if (roles.has('masked')) groups.masked++
    else if (roles.has('retried')) groups.retried++
    else if (roles.has('background')) groups.background++
    else if (failure.hasOrigin) lost.push(failure)
  }
  return {
    visible: failed.length,
    right,
    rightOrigin,
    unnamed,
    wrong,
    byConfidence,
    ownErrors,
    ...groups,
    lost,
    withoutOrigin,
  }
}

function isEdgeEntry(entry: FailureEntry, edge: string): boolean {
  return entry.service === edge && entry.side === 'inbound' && (entry.role === 'origin' || entry.role === 'propagated')
}

/** A timer that fires at a link says `timeout`, one at the application's own sidecar `app_timeout`: one thing. */
function sameCause(said: string, truth: string): boolean {
  const plain = (cause: string) => (cause === 'app_timeout' || cause === 'per_try_timeout' ? 'timeout' : cause)
  return plain(said) === plain(truth)
}
