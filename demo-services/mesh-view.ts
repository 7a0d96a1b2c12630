/**
 * The mesh as the page draws it, from the sidecars' admin endpoints: who calls whom and how often, what fails, and where
 * it began. Pure; `page-server.ts` does the asking.
 */
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import type { LocatedFailure } from '../sidecar/failure-origin/locate.ts'
import { locate } from './judge.ts'
import { APPLICATIONS, SIDECARS, serviceOf } from './layout.ts'
import { type Counters, NO_SERVICE, risen } from './sidecar-output.ts'

export interface MeshView {
  /** Wall clock, ms. */
  readonly at: number
  readonly services: readonly ServiceView[]
  readonly edges: readonly EdgeView[]
  /** Newest first. */
  readonly failures: readonly FailureSummary[]
}

export interface ServiceView {
  readonly name: string
  readonly kind: 'edge' | 'service' | 'external'
  readonly instances: readonly string[]
  /** Requests it took, a second. */
  readonly rate: number
  /** Own time per request, ms; -1 where no sidecar tells. */
  readonly ownMs: number
  /** Failures of the last seconds that began here, and the most frequent cause. */
  readonly origins: number
  readonly cause: string
}

export interface EdgeView {
  readonly from: string
  readonly to: string
  readonly rate: number
  /** Of these, how many failed; 0 to 1. */
  readonly errors: number
}

export interface FailureSummary {
  readonly id: string
  readonly ids: readonly string[]
  readonly at: number
  readonly origin: string
  readonly cause: string
  readonly subCause: string
  readonly outcome: string
  readonly link: string
  readonly path: readonly string[]
  readonly confidence: string
  readonly attempts: number
  readonly details: string
  /** As the edge saw it; where a service copies no headers, what lies beyond may be in traces of its own. */
  readonly traceId: string
  readonly traceIds: readonly string[]
  readonly status: number
}

/** Whoever began fewer of the recent failures is not marked: one that is only `likely` may be blamed wrongly. */
const LEAST_MARKED = 0.1
/** A failure older than this no longer marks its hop. */
const RECENT_MS = 5000
const MAX_FAILURES = 100

export function meshView(
  entries: readonly FailureEntry[],
  before: Counters,
  after: Counters,
  seconds: number,
  now: number,
): MeshView {
  const located = locate(entries)
  const edges = edgesOf(before, after, seconds)
  const own = risen(before, after, 'hopwise_own_seconds_total', 'service')
  const names = new Set(SIDECARS.map(serviceOf))
  for (const { to } of edges) names.add(to)
  const recent = located.filter(({ merged }) => merged.hasOrigin && now - merged.firstAt < RECENT_MS)
  const services = [...names].map((name): ServiceView => {
    const inbound = edges.filter(({ to }) => to === name)
    const rate = inbound.reduce((sum, edge) => sum + edge.rate, 0)
    const begun = recent.filter(({ merged }) => merged.origin === name)
    const marked = begun.length > recent.length * LEAST_MARKED ? begun : []
    const kind = name === 'front' ? 'edge' : SIDECARS.some(each => serviceOf(each) === name) ? 'service' : 'external'
    const instances = kind === 'service' ? APPLICATIONS.filter(each => serviceOf(each) === name) : []
    const ownMs = kind === 'service' && rate > 0 ? ((own.get(name) ?? 0) * 1000) / (rate * seconds) : -1
    return { name, kind, instances, rate, ownMs, origins: marked.length, cause: mostFrequent(marked) }
  })
  const failures = located
    .sort((a, b) => b.merged.firstAt - a.merged.firstAt)
    .slice(0, MAX_FAILURES)
    .map(summaryOf)
  return { at: now, services, edges, failures }
}

/** Rates per edge, from the egress clusters of each sidecar. */
function edgesOf(before: Counters, after: Counters, seconds: number): EdgeView[] {
  const edges: EdgeView[] = []
  for (const from of new Set(SIDECARS.map(serviceOf))) {
    const own = (counters: Counters): Counters =>
      new Map([...counters].filter(([instance]) => serviceOf(instance) === from))
    const count = (name: string, ...parts: string[]) =>
      risen(own(before), own(after), name, 'envoy_cluster_name', ...parts)
    const calls = count('envoy_cluster_upstream_rq_completed')
    const failed = count('envoy_cluster_upstream_rq_xx', 'envoy_response_code_class="5"')
    for (const to of namesOf(own(after))) {
      if (NO_SERVICE.has(to)) continue
      const all = calls.get(to) ?? 0
      // Whom nobody calls is drawn only once somebody does.
      if (
        all === 0 &&
        count('envoy_cluster_upstream_rq_total').get(to) === undefined &&
        from !== 'front' &&
        isQuiet(to)
      )
        continue
      edges.push({ from, to, rate: all / seconds, errors: all === 0 ? 0 : (failed.get(to) ?? 0) / all })
    }
  }
  return edges
}

/** Clusters of the configuration that the steady traffic does not use. */
function isQuiet(cluster: string): boolean {
  return !SIDECARS.some(each => serviceOf(each) === cluster) && cluster !== 'outside'
}

function namesOf(counters: Counters): Set<string> {
  const names = new Set<string>()
  for (const values of counters.values()) {
    for (const key of values.keys()) {
      const match = /^envoy_cluster_upstream_rq_total\{.*envoy_cluster_name="([^"]+)"/.exec(key)
      if (match !== null) names.add(match[1]!)
    }
  }
  return names
}

function mostFrequent(located: readonly LocatedFailure[]): string {
  const counts = new Map<string, number>()
  for (const { merged } of located) counts.set(merged.cause, (counts.get(merged.cause) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? ''
}

export function summaryOf({ merged, outcome, confidence, path, traceId, attempts }: LocatedFailure): FailureSummary {
  const { id, ids, origin, cause, subCause, link, firstAt, entries } = merged
  const seen = entries.find(entry => entry.service === 'front') ?? entries[0]!
  return {
    id,
    ids,
    at: firstAt,
    origin,
    cause,
    subCause,
    outcome,
    link,
    path,
    confidence,
    attempts,
    details: entries.find(entry => entry.id === id)?.details ?? '',
    traceId,
    traceIds: [...new Set([traceId, ...entries.map(entry => entry.traceId)])].filter(trace => trace !== '').slice(0, 5),
    status: seen.status,
  }
}
