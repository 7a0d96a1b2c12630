/** Since when a service has been failing: its failures in a row, without a longer silence between two of them. */
import type { FailureEntry } from './failure-log.ts'

/** Failures further apart belong to different episodes; one whose last is longer ago is over. */
export const EPISODE_GAP_MS = 10_000

export interface Episode {
  readonly origin: string
  /** The most frequent one. */
  readonly cause: string
  /** Wall clock, milliseconds: the first and the last failure of the episode. */
  readonly since: number
  readonly last: number
  /** Failures, as one sidecar saw them. */
  readonly count: number
}

/** The episodes that go on at `now`, worst first; `entries` in the order of their times, as a log has them. */
export function episodes(entries: readonly FailureEntry[], now: number): Episode[] {
  const open = new Map<string, { since: number; last: number; ids: Set<string>; causes: Map<string, number> }>()
  for (const { at, role, origin, cause, id } of entries) {
    if (role !== 'origin' && role !== 'propagated') continue
    const known = open.get(origin)
    if (known === undefined || at - known.last > EPISODE_GAP_MS) {
      open.set(origin, { since: at, last: at, ids: new Set([id]), causes: new Map([[cause, 1]]) })
      continue
    }
    known.last = Math.max(known.last, at)
    known.ids.add(id)
    known.causes.set(cause, (known.causes.get(cause) ?? 0) + 1)
  }
  const result: Episode[] = []
  for (const [origin, { since, last, ids, causes }] of open) {
    if (now - last > EPISODE_GAP_MS) continue
    const cause = [...causes].sort((a, b) => b[1] - a[1])[0]![0]
    result.push({ origin, cause, since, last, count: ids.size })
  }
  return result.sort((a, b) => b.count - a.count)
}
