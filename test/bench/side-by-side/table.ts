/** The result as Markdown, and its place in the README. */
import { cpus, loadavg, release, totalmem } from 'node:os'

export interface Row {
  readonly workload: string
  readonly envoy: string
  readonly ours: string
  readonly ratio: string
  /** '' where the workload has none of its own. */
  readonly target: string
  readonly met: boolean | undefined
}

export const COLUMNS = ['workload', 'Envoy 1.40', 'Hopwise', 'ratio', 'target', 'met'] as const
export const BEGIN = '<!-- bench -->'
export const END = '<!-- /bench -->'

export function markdownTable(rows: readonly Row[]): string {
  const lines = [COLUMNS as readonly string[], ['---', '---:', '---:', '---:', '---:', '---']]
  for (const { workload, envoy, ours, ratio, target, met } of rows) {
    lines.push([workload, envoy, ours, ratio, target, met === undefined ? '' : met ? 'yes' : '**no**'])
  }
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** What the figures were taken on: they are worth nothing without it. */
export function machineFacts(how: string): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  const machine = `${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, ${memory} GB, Linux ${release()}`
  // The bench itself makes a load of 2; more is others' work, which both proxies pay for.
  const load = `load average ${loadavg()[0]!.toFixed(1)}`
  return `${machine}, Node ${process.versions.node}; ${new Date().toISOString().slice(0, 10)}; ${how}; ${load}`
}

/** `readme` with `content` between the markers; a section of its own at the end where there are none yet. */
export function withBenchmarks(readme: string, content: string): string {
  const block = `${BEGIN}\n${content}\n${END}`
  const begin = readme.indexOf(BEGIN)
  const end = readme.indexOf(END)
  if (begin < 0 || end < begin) return `${readme.trimEnd()}\n\n## Benchmarks\n\n${block}\n`.trimStart()
  return readme.slice(0, begin) + block + readme.slice(end + END.length)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
