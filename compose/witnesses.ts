/** What answers and pages have to say of a cell; each function gives what is not as it should be, one line each. */
import type { Named } from '../demo-services/judge.ts'
import { type Counters, risen } from '../demo-services/sidecar-output.ts'
import type { Seen } from '../demo-services/traffic.ts'
import type { MeshView } from '../sidecar/admin/mesh-view.ts'
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import type { Cell } from './cell.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/** What a cell wants of the records beyond origin and cause. */
export function tellingProblems(named: Named, entries: readonly FailureEntry[], { subCause, details }: Cell): string[] {
  const problems: string[] = []
  if (subCause !== undefined && named.subCause !== subCause) problems.push(`the sub-cause is '${named.subCause}'`)
  // Each attempt has a record, and the last of them tells of all.
  const told = new Set(entries.filter(({ origin }) => origin === named.origin).map(entry => entry.details))
  if (details !== undefined && ![...told].some(text => details.test(text))) {
    problems.push(`the details are ${[...told].map(text => `'${text}'`).join(', ')}`)
  }
  return problems
}

/** Where callers have gone away every sidecar counts that, and none takes it for a failure. */
export function nobodysProblems(before: Counters, after: Counters): string[] {
  const rose = (role: string) => [...risen(before, after, 'hopwise_failures_total', 'service', `role="${role}"`).keys()]
  const blaming = rose('origin').map(service => `${service} counts an origin, though nobody is to be blamed`)
  const cancelled = rose('cancelled')
  const silent = ['front', 'a', 'b', 'c', 'd'].filter(service => !cancelled.includes(service))
  return [...blaming, ...silent.map(service => `${service} counts nothing that was cancelled`)]
}

/** What the page over all sidecars draws in red, with the cause: among those that failed of late is who is broken now. */
export function markedProblems({ services }: MeshView, { truth }: Cell): string[] {
  const marked = services.flatMap(({ name, origin }) => (origin === undefined ? [] : [`${name}: ${origin.cause}`]))
  const right = truth.causes.some(cause => marked.includes(`${truth.origin}: ${cause}`))
  return right ? [] : [`the page marks ${marked.join(', ') || 'nobody'}`]
}

/** At the edge: a failure has its id, and nothing of what happened inside. */
export function edgeProblems(answers: readonly Answer[], callers: readonly Seen[]): string[] {
  const problems: string[] = []
  if (answers.some(({ headers }) => headers['proxy-status'] !== undefined)) problems.push('the edge tells proxy-status')
  const without = answers.filter(({ status, headers }) => status >= 500 && headers['x-failure-id'] === undefined)
  const failed = callers.filter(({ what }) => /^[45]\d\d$/.test(what))
  // What was cut short had a good status, and an id only in the trailers that it has no place for.
  if (failed.length === 0 && !callers.some(({ what }) => what === 'cut')) problems.push('no caller saw a failure')
  const nameless = failed.filter(({ failureId }) => !/^[0-9a-f]{16}$/.test(failureId))
  if (without.length + nameless.length > 0) problems.push('an answer of the edge that failed has no x-failure-id')
  return problems
}

/**
 * Inside: the answer that a service of the mesh gets names the origin. b copies no headers, so that where requests overlap
 * the evidence is only `likely`, which may be wrong and says so: none that is sure may be wrong, and one has to be right.
 */
export function meshProblems(answers: readonly Answer[], { truth, seldom, heardLate }: Cell): string[] {
  const failed = answers.filter(({ status }) => status >= 400)
  // One that broke off after its head has no place for a record, and not every one meets what some only do.
  if (failed.length === 0) return seldom === true ? [] : [`no answer inside the mesh failed, of ${answers.length}`]
  const wrong: string[] = []
  let right = 0
  for (const { headers } of failed) {
    const record = String(headers['proxy-status'] ?? '')
    const parameter = (name: string) => new RegExp(`failure-${name}="?([\\w.-]+)`).exec(record)?.[1] ?? ''
    const cause = parameter('cause')
    if (parameter('origin') === truth.origin && (truth.causes as readonly string[]).includes(cause)) right++
    else if (['exact', 'trace', 'unique'].includes(parameter('confidence')))
      return [`proxy-status is sure of ${record}`]
    else wrong.push(record)
  }
  return right > 0 || heardLate === true ? [] : [`proxy-status inside the mesh says ${wrong[0] || 'nothing'}`]
}
