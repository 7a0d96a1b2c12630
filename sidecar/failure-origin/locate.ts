/** One line per failure: the entries of one sidecar or of several put together, and what became of it in the end. */
import type { FailureEntry } from './failure-log.ts'
import { type MergedFailure, mergeFailures } from './merge.ts'
import { type Confidence, lowerConfidence } from './record.ts'

/** `visible`: somebody who asked got it. The others ended on the way: see `Role` in record.ts. */
export type FailureOutcome = 'visible' | 'masked' | 'retried' | 'background' | 'cancelled'

/** Everything of one failure that a reader wants on one line. */
export interface LocatedFailure {
  readonly merged: MergedFailure
  readonly outcome: FailureOutcome
  /** The lowest on the way. */
  readonly confidence: Confidence
  /** The longest: from the origin to the last that passed it on. */
  readonly path: readonly string[]
  readonly traceId: string
  readonly attempts: number
}

/** `seenAt`: the services whose callers count as those who see a failure; the edges of the mesh. */
export function locateFailures(entries: readonly FailureEntry[], seenAt: ReadonlySet<string>): LocatedFailure[] {
  return mergeFailures(entries).map(merged => {
    const visible = merged.entries.find(entry => seenAt.has(entry.service) && isSeen(entry) && !endedAt(merged, entry))
    let path = merged.entries[0]!.path
    let confidence: Confidence = 'exact'
    let attempts = 1
    for (const entry of merged.entries) {
      if (entry.path.length > path.length) path = entry.path
      if (isSeen(entry)) confidence = lowerConfidence(confidence, entry.confidence)
      attempts = Math.max(attempts, entry.attempts)
    }
    const traceId = (visible ?? merged.entries.find(entry => entry.traceId !== ''))?.traceId ?? ''
    return { merged, outcome: outcomeOf(merged, visible !== undefined), confidence, path, traceId, attempts }
  })
}

function isSeen({ role }: FailureEntry): boolean {
  return role === 'origin' || role === 'propagated'
}

/**
 * That sidecar did not let it through: it tried again, or the application answered all the same. Attempts at one callee
 * may share an id; each that came to nothing has a second entry that says so, and the one that was passed on has not.
 */
function endedAt({ entries }: MergedFailure, { service }: FailureEntry): boolean {
  let open = 0
  for (const entry of entries) {
    if (entry.service === service && entry.role !== 'cancelled') open += isSeen(entry) ? 1 : -1
  }
  return open <= 0
}

function outcomeOf(merged: MergedFailure, visible: boolean): FailureOutcome {
  const has = (role: string) => merged.entries.some(entry => entry.role === role)
  if (!merged.hasOrigin && !has('propagated')) return 'cancelled'
  // What the caller of the edge got counts, not what became of an attempt on the way.
  if (visible) return 'visible'
  if (has('retried')) return 'retried'
  if (has('masked')) return 'masked'
  return has('background') ? 'background' : 'visible'
}
