/** What came out, a line per cell, so that misses are seen and not only counted. */
import { byConfidence, describeMiss, type Verdict } from './judge.ts'

const MISSES_SHOWN = 4

export function cellLine(name: string, verdict: Verdict, ms: number): string {
  const { visible, right, masked, retried, background, lost } = verdict
  const shares = [...byConfidence(visible)].map(([confidence, count]) => `${confidence} ${count.right}/${count.all}`)
  const rest = `masked ${masked}, retried ${retried}, background ${background}, lost ${lost.length}`
  return `${name.padEnd(34)} ${`${right}/${visible.length}`.padStart(9)}  ${shares.join(', ') || '-'}; ${rest}; ${Math.round(ms)} ms`
}

/** The most frequent misses. */
export function missLines(verdict: Verdict): string[] {
  const counts = new Map<string, number>()
  const count = (text: string) => counts.set(text, (counts.get(text) ?? 0) + 1)
  for (const named of verdict.visible) if (!named.right) count(describeMiss(named))
  for (const named of verdict.hidden)
    if (named.failure !== undefined && !named.right) count(`hidden: ${describeMiss(named)}`)
  for (const { plan, status } of verdict.surprises) {
    const { fault, manner } = plan
    count(`${fault === undefined ? 'innocent' : `${fault.hop}:${fault.kind}`} ${manner}: nobody expected ${status}`)
  }
  for (const { entries } of verdict.lost) {
    count(`lost: ${entries.map(entry => `${entry.service} ${entry.role} ${entry.origin} ${entry.cause}`).join(', ')}`)
  }
  return [...counts]
    .sort(([, x], [, y]) => y - x)
    .slice(0, MISSES_SHOWN)
    .map(([text, times]) => `    ${times} × ${text}`)
}

/** A line per kind of fault: right of all seen, hop by hop. */
export function kindLines(verdicts: readonly Verdict[]): string[] {
  const counts = new Map<string, Map<string, { all: number; right: number }>>()
  for (const { visible } of verdicts) {
    for (const { seen, right } of visible) {
      const { fault } = seen.plan
      if (fault === undefined) continue
      const hops = counts.get(fault.kind) ?? new Map<string, { all: number; right: number }>()
      counts.set(fault.kind, hops)
      const count = hops.get(fault.hop) ?? { all: 0, right: 0 }
      hops.set(fault.hop, count)
      count.all++
      if (right) count.right++
    }
  }
  return [...counts].map(
    ([kind, hops]) =>
      `${kind.padEnd(16)} ${[...hops]
        .sort(([x], [y]) => (x < y ? -1 : 1))
        .map(([hop, { right, all }]) => `${hop} ${right}/${all}`.padEnd(12))
        .join(' ')}`,
  )
}
