/**
 * The mesh as the page draws it: who calls whom and how often, what fails, where it began and since when. Made of what one
 * sidecar or several say of themselves; one alone sees itself, those it calls, and that somebody calls it.
 *
 * Counts are since each sidecar's start. Whoever draws them asks again and takes the difference: so two who look at the
 * same time do not disturb each other, and nothing is kept for nobody.
 */
import { EPISODE_GAP_MS, type Episode, OF_LATE_MS } from '../failure-origin/episodes.ts'
import type { FailureEntry } from '../failure-origin/failure-log.ts'
import { type LocatedFailure, locateFailures } from '../failure-origin/locate.ts'

/** What a sidecar says of itself. */
export interface SidecarView {
  /** Wall clock, milliseconds. */
  readonly at: number
  readonly service: string
  /** `node.id`, '' where there is none. */
  readonly node: string
  readonly version: string
  readonly state: string
  readonly uptimeMs: number
  /** It takes requests from outside the mesh. */
  readonly edge: boolean
  /** Taken for the application, or at the edge; those that failed, be it by their gRPC status. */
  readonly requests: number
  readonly failed: number
  /** Seconds of requests that were not spent waiting for calls. */
  readonly ownSeconds: number
  readonly calls: readonly CallsView[]
  /** Services that call themselves otherwise than this one does, as their failures tell. */
  readonly otherNames: readonly { readonly service: string; readonly name: string }[]
  readonly episodes: readonly Episode[]
}

export interface CallsView {
  readonly service: string
  readonly external: boolean
  readonly total: number
  readonly failed: number
}

/** What is put together: a sidecar and the failures it remembers. */
export interface MeshPart {
  readonly sidecar: SidecarView
  /** The newest ones. */
  readonly entries: readonly FailureEntry[]
}

export interface MeshView {
  readonly at: number
  /** `sidecar`: one sidecar's own view, which ends at its neighbours. */
  readonly scope: 'sidecar' | 'mesh'
  readonly sidecars: readonly {
    readonly name: string
    readonly service: string
    readonly state: string
    readonly version: string
    readonly uptimeMs: number
  }[]
  readonly services: readonly ServiceView[]
  readonly edges: readonly EdgeView[]
  /** Newest first. */
  readonly failures: readonly FailureSummary[]
}

export interface ServiceView {
  readonly name: string
  /** `callers`: whoever calls, of whom nothing is known here. `neighbour`: has no sidecar among those asked. */
  readonly kind: 'callers' | 'edge' | 'service' | 'neighbour' | 'external'
  /** Sidecars of it among those asked. */
  readonly instances: readonly string[]
  readonly requests: number
  readonly failed: number
  /** -1 where nobody tells. */
  readonly ownSeconds: number
  /** Failures that begin here go on; undefined while none does. */
  readonly origin: Episode | undefined
}

export interface EdgeView {
  readonly from: string
  readonly to: string
  readonly total: number
  readonly failed: number
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
  /** Of whoever saw it; where a service copies no headers, what lies beyond may be in traces of its own. */
  readonly traceIds: readonly string[]
  readonly status: number
  readonly grpcStatus: number
}

/** The name of those who call and are not known; no service can be called so (`failure-origin/names.ts`). */
export const CALLERS = '(callers)'

/**
 * Whoever began fewer of the failures that go on is not marked, and nobody on guesses alone where others are sure: one
 * that is only `likely` may be blamed wrongly.
 */
const LEAST_MARKED = 0.1
const MAX_FAILURES = 50
const MAX_TRACES = 5
/** A record can name any service; of those that nobody here calls only so many are drawn. */
const MAX_FOREIGN = 20

export function meshView(parts: readonly MeshPart[], scope: MeshView['scope'], now: number): MeshView {
  const sidecars = parts.map(part => part.sidecar)
  const edges = edgesOf(sidecars)
  const origins = originsOf(sidecars, now)
  const located = locateFailures(
    parts.flatMap(part => part.entries),
    seenAt(sidecars, scope),
  )
  located.sort((a, b) => b.merged.firstAt - a.merged.firstAt)
  return {
    at: now,
    scope,
    sidecars: sidecars.map(({ node, service, state, version, uptimeMs }) => ({
      name: node === '' ? service : node,
      service,
      state,
      version,
      uptimeMs,
    })),
    services: servicesOf(sidecars, edges, origins),
    edges,
    failures: located.slice(0, MAX_FAILURES).map(summaryOf),
  }
}

/** One failure with the parts of all sidecars in it; undefined where none of them knows it. */
export function failureView(
  entries: readonly FailureEntry[],
  id: string,
  sidecars: readonly SidecarView[],
  scope: MeshView['scope'],
): (FailureSummary & { readonly entries: readonly FailureEntry[] }) | undefined {
  const found = locateFailures(entries, seenAt(sidecars, scope)).find(({ merged }) => merged.ids.includes(id))
  return found && { ...summaryOf(found), entries: found.merged.entries }
}

/** Whose callers count as those who see a failure. */
function seenAt(sidecars: readonly SidecarView[], scope: MeshView['scope']): Set<string> {
  const edges = sidecars.filter(({ edge }) => edge)
  return new Set((scope === 'sidecar' || edges.length === 0 ? sidecars : edges).map(({ service }) => service))
}

/** Calls of all instances of a service added up; whom nobody has called yet is not drawn. */
function edgesOf(sidecars: readonly SidecarView[]): EdgeView[] {
  const edges = new Map<string, { from: string; to: string; total: number; failed: number }>()
  const add = (from: string, to: string, total: number, failed: number) => {
    const key = JSON.stringify([from, to])
    const edge = edges.get(key)
    if (edge === undefined) edges.set(key, { from, to, total, failed })
    else {
      edge.total += total
      edge.failed += failed
    }
  }
  for (const { service, calls } of sidecars) {
    for (const { service: to, total, failed } of calls) if (total > 0) add(service, to, total, failed)
  }
  const called = new Set([...edges.values()].map(({ to }) => to))
  for (const { service, edge, requests, failed } of sidecars) {
    if (requests > 0 && (edge || !called.has(service))) add(CALLERS, service, requests, failed)
  }
  return [...edges.values()]
}

/** What one sidecar saw of a service that goes on failing; `by`: of which service it is. */
type Sight = Episode & { readonly by: string }

/** Failures of one service, of which several sidecars see the same ones. */
function seenTogether(sights: readonly Sight[]): Episode {
  const last = Math.max(...sights.map(one => one.last))
  // Whoever has seen nothing of late knows what was.
  const ofLate = sights.filter(one => last - one.last <= OF_LATE_MS)
  const { origin, cause, count } = mostOf(ofLate)
  return {
    origin,
    cause: ownCause(ofLate, count) ?? cause,
    count,
    since: Math.min(...sights.map(({ since }) => since)),
    last,
    recent: Math.max(...sights.map(({ recent }) => recent)),
    // Only what all who saw it are sure of: where one is, another may have guessed.
    sure: Math.min(...sights.map(({ sure }) => sure)),
  }
}

/** Whoever saw most of them tells best. */
const mostOf = (sights: readonly Sight[]): Sight => sights.reduce((most, one) => (one.count > most.count ? one : most))

/**
 * The cause in the words of the service's own sidecars, which know it where its callers only see an answer break off.
 * Undefined where they have seen less than half of the `count`: then it is they who failed, or something before them.
 */
function ownCause(sights: readonly Sight[], count: number): string | undefined {
  const own = sights.filter(({ by, origin }) => by === origin)
  const seen = own.reduce((sum, one) => sum + one.count, 0)
  return own.length === 0 || seen * 2 < count ? undefined : mostOf(own).cause
}

/** Who goes on failing, as the sidecars together see it. */
function originsOf(sidecars: readonly SidecarView[], now: number): Map<string, Episode> {
  const sights = sidecars
    .flatMap(({ service, episodes }) => episodes.map(episode => ({ ...episode, by: service })))
    .filter(({ last }) => now - last <= EPISODE_GAP_MS)
  const origins = new Map<string, Episode>()
  for (const [origin, some] of Map.groupBy(sights, one => one.origin)) origins.set(origin, seenTogether(some))
  // Where somebody fails now, who has stopped a moment ago is not marked, and says nothing about the others.
  const latest = Math.max(...[...origins.values()].map(({ last }) => last))
  for (const { origin, last } of origins.values()) if (latest - last > OF_LATE_MS) origins.delete(origin)
  const all = [...origins.values()]
  const most = all.reduce((sum, { recent }) => sum + recent, 0) * LEAST_MARKED
  const surest = all.some(({ recent, sure }) => sure > 0 && recent > most)
  for (const { origin, recent, sure } of all) {
    if (recent <= most || (surest && sure === 0)) origins.delete(origin)
  }
  return origins
}

function servicesOf(
  sidecars: readonly SidecarView[],
  edges: readonly EdgeView[],
  origins: ReadonlyMap<string, Episode>,
): ServiceView[] {
  const external = new Set(
    sidecars.flatMap(({ calls }) => calls.filter(call => call.external).map(({ service }) => service)),
  )
  const names = new Set(edges.some(({ from }) => from === CALLERS) ? [CALLERS] : [])
  for (const { service } of sidecars) names.add(service)
  for (const { to } of edges) names.add(to)
  let foreign = 0
  for (const origin of origins.keys()) {
    if (names.has(origin) || ++foreign > MAX_FOREIGN) continue
    names.add(origin)
  }
  return [...names].map(name => {
    const own = sidecars.filter(({ service }) => service === name)
    const into = edges.filter(({ to }) => to === name)
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
    const told = own.length > 0
    return {
      name,
      kind: kindOf(name, own, external),
      instances: own.map(({ node, service }) => (node === '' ? service : node)),
      requests: sum(told ? own.map(({ requests }) => requests) : into.map(({ total }) => total)),
      failed: sum(told ? own.map(({ failed }) => failed) : into.map(({ failed }) => failed)),
      ownSeconds: told ? sum(own.map(({ ownSeconds }) => ownSeconds)) : -1,
      origin: origins.get(name),
    }
  })
}

function kindOf(name: string, own: readonly SidecarView[], external: ReadonlySet<string>): ServiceView['kind'] {
  if (name === CALLERS) return 'callers'
  if (own.length > 0) return own.some(({ edge }) => edge) ? 'edge' : 'service'
  return external.has(name) ? 'external' : 'neighbour'
}

function summaryOf({ merged, outcome, confidence, path, traceId, attempts }: LocatedFailure): FailureSummary {
  const { id, ids, origin, cause, subCause, link, firstAt, entries } = merged
  const seen = entries.find(entry => entry.traceId === traceId) ?? entries[0]!
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
    traceIds: [...new Set([traceId, ...entries.map(entry => entry.traceId)])]
      .filter(trace => trace !== '')
      .slice(0, MAX_TRACES),
    status: seen.status,
    grpcStatus: seen.grpcStatus,
  }
}
