/** Reads what the sidecars tell on their admin ports: `/failures` and `/stats/prometheus`. */
import { askAll, fetchText, type SidecarAdmins } from '../observability/trace-store/sidecar-admins.ts'
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import type { Evidence } from './judge.ts'
import { SERVICES, serviceOf } from './layout.ts'

/** Counters of one moment: name and labels as in the exposition, by instance. */
export type Counters = ReadonlyMap<string, ReadonlyMap<string, number>>

/** More failures than one fault causes. */
const MAX_FAILURES = 3000
/** Clusters that are no service: the application beside the sidecar, and where spans go. */
export const NO_SERVICE: ReadonlySet<string> = new Set(['app', 'app-http2', 'zipkin'])
const FILTER =
  '^(hopwise_(failures|own_seconds|blocked_seconds|trace_context_missing)|http\\.ingress\\.downstream_rq_completed|' +
  'cluster\\..*\\.upstream_rq_(completed|time)$)'

export class SidecarOutput {
  readonly #admins: SidecarAdmins

  constructor(admins: SidecarAdmins) {
    this.#admins = admins
  }

  /** Failures since then (wall clock, ms) of all sidecars. */
  async failuresSince(sinceMs: number): Promise<FailureEntry[]> {
    const lists = await askAll(this.#admins, async url => {
      const text = await fetchText(`${url}/failures?format=json&limit=${MAX_FAILURES}&since=${sinceMs}`)
      return (JSON.parse(text) as { failures: FailureEntry[] }).failures.filter(entry => entry.at >= sinceMs)
    })
    return lists.flat()
  }

  async counters(): Promise<Counters> {
    const path = `/stats/prometheus?filter=${encodeURIComponent(FILTER)}`
    const all = new Map<string, ReadonlyMap<string, number>>()
    await askAll(this.#admins, async (url, instance) => {
      all.set(instance, parseExposition(await fetchText(url + path)))
    })
    return all
  }
}

/** Lines of a Prometheus exposition: `name{labels}` with its value. */
export function parseExposition(text: string): Map<string, number> {
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const space = line.lastIndexOf(' ')
    values.set(line.slice(0, space), Number(line.slice(space + 1)))
  }
  return values
}

/** How much counters of `name` rose, by the value of `label`; only those whose labels include all of `parts`. */
export function risen(before: Counters, after: Counters, name: string, label: string, ...parts: string[]) {
  const sums = new Map<string, number>()
  for (const [instance, values] of after) {
    const old = before.get(instance)
    for (const [key, value] of values) {
      if (!key.startsWith(`${name}{`) || !parts.every(part => key.includes(part))) continue
      const of = labelOf(key, label)
      // A counter below its old value belongs to a process that was started anew.
      const start = old?.get(key) ?? 0
      const rise = value >= start ? value - start : value
      if (rise > 0) sums.set(of, (sums.get(of) ?? 0) + rise)
    }
  }
  return sums
}

function labelOf(key: string, label: string): string {
  const start = key.indexOf(`${label}="`)
  if (start < 0) return ''
  const from = start + label.length + 2
  return key.slice(from, key.indexOf('"', from))
}

/**
 * Seconds that each service spent per request of a, on its own work. Of a service without a sidecar only its callers can
 * tell: what they waited for it.
 *
 * Where an application copies no headers and has several requests in hand, its sidecar cannot tell whose call it is that it
 * forwards, and counts the wait as the application's own time. What all its calls took together is known, though.
 */
export function secondsPerRequest(before: Counters, after: Counters): Map<string, number> {
  const handled = requestsOf(before, after, 'a')
  const seconds = new Map<string, number>()
  if (handled === 0) return seconds
  for (const [service, own] of risen(before, after, 'hopwise_own_seconds_total', 'service')) {
    seconds.set(service, Math.max(0, own - unmatchedSeconds(service, before, after)) / handled)
  }
  for (const [service, blocked] of risen(before, after, 'hopwise_blocked_seconds_total', 'on')) {
    if (!(SERVICES as readonly string[]).includes(service)) seconds.set(service, blocked / handled)
  }
  return seconds
}

/** Seconds that calls of a service took which its sidecar could not match with a request. */
function unmatchedSeconds(service: string, before: Counters, after: Counters): number {
  const only = (counters: Counters): Counters =>
    new Map([...counters].filter(([instance]) => serviceOf(instance) === service))
  const own = only(after)
  const old = only(before)
  const calls = (name: string) => {
    let sum = 0
    for (const [cluster, value] of risen(old, own, name, 'envoy_cluster_name')) {
      if (!NO_SERVICE.has(cluster)) sum += value
    }
    return sum
  }
  const sent = calls('envoy_cluster_upstream_rq_completed')
  const without = risen(old, own, 'hopwise_trace_context_missing_total', 'service').get(service) ?? 0
  if (sent === 0 || without === 0) return 0
  let blocked = 0
  for (const value of risen(old, own, 'hopwise_blocked_seconds_total', 'on').values()) blocked += value
  const waited = calls('envoy_cluster_upstream_rq_time_sum') / 1000
  return Math.min(1, without / sent) * Math.max(0, waited - blocked)
}

function requestsOf(before: Counters, after: Counters, service: string): number {
  let requests = 0
  for (const [instance, values] of after) {
    if (serviceOf(instance) !== service) continue
    for (const [key, value] of values) {
      if (!key.startsWith('envoy_http_downstream_rq_completed{')) continue
      requests += Math.max(0, value - (before.get(instance)?.get(key) ?? 0))
    }
  }
  return requests
}

export function evidenceOf(
  entries: readonly FailureEntry[],
  before: Counters,
  after: Counters,
  usual: ReadonlyMap<string, number>,
): Evidence {
  return {
    entries,
    originCounts: risen(before, after, 'hopwise_failures_total', 'origin', 'role="origin"'),
    secondsPerRequest: secondsPerRequest(before, after),
    usualSecondsPerRequest: usual,
  }
}
