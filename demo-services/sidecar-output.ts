/** Reads what the sidecars tell on their admin ports: `/failures` and `/stats/prometheus`. */
import { Agent, get } from 'node:http'
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import type { Evidence } from './judge.ts'
import { SERVICES, SIDECARS, serviceOf } from './layout.ts'

/** Counters of one moment: name and labels as in the exposition, by instance. */
export type Counters = ReadonlyMap<string, ReadonlyMap<string, number>>

const agent = new Agent({ keepAlive: true })
const TIMEOUT_MS = 3000
/** More failures than one fault causes. */
const MAX_FAILURES = 3000
/** Clusters that are no service: the application beside the sidecar, and where spans go. */
export const NO_SERVICE: ReadonlySet<string> = new Set(['app', 'app-http2', 'zipkin'])
const FILTER =
  '^(hopwise_(failures|own_seconds|blocked_seconds|trace_context_missing)|http\\.ingress\\.downstream_rq_completed|' +
  'cluster\\..*\\.upstream_rq_(completed|time)$)'

/** A port of this machine, or one elsewhere. */
export type Place = number | { readonly host: string; readonly port: number }

export class SidecarOutput {
  readonly #admins: ReadonlyMap<string, Place>

  /** By instance: where its admin listener is. */
  constructor(admins: ReadonlyMap<string, Place>) {
    this.#admins = admins
  }

  /** Failures since then (wall clock, ms) of all sidecars. One that is down says nothing. */
  async failuresSince(sinceMs: number): Promise<FailureEntry[]> {
    const lists = await this.#all(async place => {
      const text = await fetchText(place, `/failures?format=json&limit=${MAX_FAILURES}&since=${sinceMs}`)
      return (JSON.parse(text) as { failures: FailureEntry[] }).failures.filter(entry => entry.at >= sinceMs)
    })
    return lists.flat()
  }

  async counters(): Promise<Counters> {
    const path = `/stats/prometheus?filter=${encodeURIComponent(FILTER)}`
    const all = new Map<string, ReadonlyMap<string, number>>()
    await this.#all(async (place, instance) => {
      all.set(instance, parseExposition(await fetchText(place, path)))
    })
    return all
  }

  async #all<T>(read: (place: Place, instance: string) => Promise<T>): Promise<T[]> {
    const results = await Promise.allSettled([...this.#admins].map(([instance, place]) => read(place, instance)))
    return results.filter(result => result.status === 'fulfilled').map(result => result.value)
  }
}

export function adminPorts(portOf: (instance: string) => number): Map<string, number> {
  return new Map(SIDECARS.map(instance => [instance, portOf(instance)]))
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

export function fetchText(place: Place, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const { host, port } = typeof place === 'number' ? { host: '127.0.0.1', port: place } : place
  const request = get({ host, port, path, agent, timeout: TIMEOUT_MS }, response => {
    let text = ''
    response.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    response.on('error', reject)
    response.on('end', () => {
      if (response.statusCode === 200) resolve(text)
      else reject(new Error(`${path}: ${response.statusCode}`))
    })
  })
  request.on('timeout', () => request.destroy(new Error(`${path}: no answer in ${TIMEOUT_MS} ms`)))
  request.on('error', reject)
  return promise
}
