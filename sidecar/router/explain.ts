/** Why a request takes the route it takes: what `hopwise explain` prints. */
import type { Route, RouteConfiguration } from '../config/schema/generated/types.ts'
import { type SourcePosition, sourceOf } from '../config/source.ts'
import type { MatchInput } from './match-input.ts'
import type { RouteEntry } from './route-entry.ts'
import type { VirtualHost } from './virtual-host.ts'

export interface TriedRoute {
  readonly name: string
  /** Path below the route configuration: `virtual_hosts[0].routes[3]`. */
  readonly field: string
  readonly matched: boolean
  /** Why it did not match, in words; '' for the one that did. */
  readonly reason: string
}

export interface RouteExplanation {
  /** The virtual host, or undefined where no domain fits. */
  readonly virtualHost: { readonly name: string; readonly field: string } | undefined
  /** What there is to say of the choice of the virtual host or of what follows; '' for nothing. */
  readonly note: string
  /** In the order in which they count, the last being the one that matched, if any did. */
  readonly tried: readonly TriedRoute[]
  readonly entry: RouteEntry | undefined
}

export function explainMatch(
  host: VirtualHost | undefined,
  authority: string | undefined,
  input: MatchInput,
): RouteExplanation {
  if (host === undefined) {
    const note =
      authority === undefined ? 'the request names no host' : `no virtual host has a domain for "${authority}"`
    return { virtualHost: undefined, note, tried: [], entry: undefined }
  }
  const field = `virtual_hosts[${host.position}]`
  const virtualHost = { name: host.name, field }
  const entry = host.match(input)
  if (host.needsTls(input.headers)) {
    return { virtualHost, note: 'require_tls: redirected to https before any route is looked at', tried: [], entry }
  }
  if (host.tree !== undefined) {
    const route = host.tree.select(input)
    if (route === undefined) return { virtualHost, note: 'its matcher leads to no route', tried: [], entry }
    const reason = route.match.explain(input) ?? ''
    const tried = { name: route.name, field: `${field}.matcher`, matched: reason === '', reason }
    return { virtualHost, note: '', tried: [tried], entry }
  }
  const tried: TriedRoute[] = []
  for (const [index, route] of host.routes.entries()) {
    const reason = route.match.explain(input) ?? ''
    tried.push({ name: route.name, field: `${field}.routes[${index}]`, matched: reason === '', reason })
    if (reason === '') break
  }
  return { virtualHost, note: '', tried, entry }
}

/** Where the field of an explanation stands in the file; undefined for what came without positions. */
export function positionOf(configuration: RouteConfiguration, field: string): SourcePosition | undefined {
  const parts = PLACE.exec(field)
  if (parts === null) return sourceOf(configuration)
  const host = configuration.virtualHosts[Number(parts[1])]
  if (host === undefined) return undefined
  if (parts[3] !== undefined) return sourceOf(host, 'matcher')
  return sourceOf(routeAt(configuration, field) ?? host)
}

/** The route that a field of an explanation names; undefined where it names something else, or one in a matcher. */
export function routeAt(configuration: RouteConfiguration, field: string): Route | undefined {
  const [, host, route] = PLACE.exec(field) ?? []
  return route === undefined ? undefined : configuration.virtualHosts[Number(host)]?.routes[Number(route)]
}

const PLACE = /^virtual_hosts\[(\d+)\](?:\.(?:routes\[(\d+)\]|(matcher)))?$/
