/** Since when a service has been failing: its failures in a row, without a longer silence between two of them. */
import type { FailureEntry } from './failure-log.ts'

/** Failures further apart belong to different episodes; one whose last is longer ago is over. */
export const EPISODE_GAP_MS = 10_000

/** Of failures so much older than the newest one is said what was, not what is. */
export const OF_LATE_MS = 3000

export interface Episode {
  readonly origin: string
  /** The most frequent one of late ({@link OF_LATE_MS} before the last): what it is now, not what it once was. */
  readonly cause: string
  /** Wall clock, milliseconds: the first and the last failure of the episode. */
  readonly since: number
  readonly last: number
  /** Failures, as one sidecar saw them: all, and those of the last {@link EPISODE_GAP_MS}. */
  readonly count: number
  readonly recent: number
  /** Of the recent ones those whose evidence is better than `likely`, which may blame the wrong one. */
  readonly sure: number
}

/** The episodes that go on at `now`, worst first; `entries` in the order of their times, as a log has them. */
export function episodes(entries: readonly FailureEntry[], now: number): Episode[] {
  const open = new Map<
    string,
    {
      since: number
      last: number
      ids: Set<string>
      recent: Set<string>
      sure: Set<string>
      entries: FailureEntry[]
    }
  >()
  for (const entry of entries) {
    const { at, role, origin, id, confidence } = entry
    if (role !== 'origin' && role !== 'propagated') continue
    let known = open.get(origin)
    if (known === undefined || at - known.last > EPISODE_GAP_MS) {
      known = { since: at, last: at, ids: new Set(), recent: new Set(), sure: new Set(), entries: [] }
      open.set(origin, known)
    }
    known.last = Math.max(known.last, at)
    known.ids.add(id)
    known.entries.push(entry)
    if (now - at > EPISODE_GAP_MS) continue
    known.recent.add(id)
    if (confidence !== 'likely' && confidence !== 'none') known.sure.add(id)
  }
  const result: Episode[] = []
  for (const [origin, { since, last, ids, recent, sure, entries: own }] of open) {
    if (now - last > EPISODE_GAP_MS) continue
    const cause = mostFrequent(own.filter(({ at }) => at > last - OF_LATE_MS).map(one => one.cause))
    result.push({ origin, cause, since, last, count: ids.size, recent: recent.size, sure: sure.size })
  }
  return result.sort((a, b) => b.recent - a.recent)
}

function mostFrequent(causes: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const cause of causes) counts.set(cause, (counts.get(cause) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])[0]![0]
}
