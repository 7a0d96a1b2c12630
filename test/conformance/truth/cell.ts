/** A cell of the matrix: plans, how many at a time, and what has to come out in any case. */
import assert from 'node:assert/strict'
import type { Confidence } from '../../../sidecar/failure-origin/record.ts'
import type { Control } from './applications.ts'
import type { Plan } from './faults.ts'
import { describeMiss, judge, type Named, type TruthOf, type Verdict } from './judge.ts'
import { mixed, type Pace, type Run, runPlans } from './load.ts'
import type { Mesh } from './mesh.ts'
import { cellLine, missLines } from './table.ts'

/** Of what was named wrongly, in the message. */
const MISSES_SHOWN = 5

export interface Cell extends Pace {
  readonly name: string
  readonly plans: readonly Plan[]
  readonly requests: number
  readonly concurrency: number
  readonly control?: Control
  /** Where the truth is not only what was planned. */
  readonly truthOf?: (run: Run) => TruthOf
}

export interface CellResult {
  readonly run: Run
  readonly verdict: Verdict
}

/** Lines of all cells, to be printed together at the end. */
export const table: string[] = []

export async function runCell(mesh: Mesh, cell: Cell): Promise<CellResult> {
  const { name, plans, requests, concurrency, control, truthOf, ...pace } = cell
  const run = await runPlans(mesh, mixed(plans, requests), concurrency, control, pace)
  const verdict = judge(run, truthOf?.(run))
  table.push(cellLine(`${mesh.copies} ×${concurrency}: ${name}`, verdict, run.ms), ...missLines(verdict))
  return { run, verdict }
}

/** The law that holds however much was named wrongly: what began somewhere ended somewhere, once. */
export function assertConserved(verdict: Verdict): void {
  const { origins, visible, masked, retried, background, cancelled, lost, twice, withoutOrigin } = verdict
  assert.equal(lost.length, 0, 'every failure ends somewhere')
  assert.equal(twice.length, 0, 'one origin each')
  assert.equal(withoutOrigin.length, 0, 'whatever clients saw began somewhere')
  assert.equal(
    origins,
    visible.length + masked + retried + background + cancelled,
    'Σ origin = visible + masked + retried + background',
  )
  assert.equal(verdict.originCounted, verdict.originEntries, 'metrics and /failures agree')
  assert.equal(verdict.surprises.length, 0, 'clients saw what was planned')
}

/** At least `share` of the failures are named with one of `confidences`. */
export function assertShare(named: readonly Named[], confidences: readonly Confidence[], share: number): void {
  const such = named.filter(one => confidences.includes(one.confidence)).length
  assert.ok(such >= share * named.length, `${such} of ${named.length} are ${confidences.join(' or ')}`)
}

export function assertRight(named: readonly Named[], share = 1): void {
  const wrong = named.filter(one => !one.right)
  const right = named.length - wrong.length
  assert.ok(named.length > 0, 'there is something to judge')
  const misses = wrong.slice(0, MISSES_SHOWN).map(one => `\n  ${describeMiss(one)}`)
  assert.ok(right >= share * named.length, `${right} of ${named.length} are named right${misses.join('')}`)
}

/**
 * Those that only the ledger decides about. Behind a timer, a cut or a sidecar that says nothing there may be others: that
 * link is named, and so says the confidence.
 */
export function beyondLinks(named: readonly Named[]): Named[] {
  return named.filter(({ seen }) => seen.plan.fault?.waits !== true && seen.plan.fault?.cut !== true)
}
