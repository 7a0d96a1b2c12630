/**
 * What the truth test can break, at which hop, and what the truth then is.
 *
 * A fault is done to one request, which says so in `x-fault` (`;d:app_error;`). Applications and routes of sidecars look
 * whether they are meant. No sidecar locates failures by that header, so it tells them nothing.
 */
import type { Cause } from '../../../sidecar/failure-origin/record.ts'

export const CHAIN = ['a', 'b', 'c', 'd'] as const
export type Hop = (typeof CHAIN)[number]

/** What the application that sees the failure of its call does about it. */
export type Manner = 'pass' | 'swallow' | 'retry' | 'repair' | 'stream'

export interface Fault {
  readonly kind: string
  /** Who is broken. */
  readonly hop: Hop | 'client'
  readonly origin: string
  readonly causes: readonly Cause[]
  /** Where it has to be named too. */
  readonly subCause: string | undefined
  /** Whose application is the first to see a failure of its call; undefined where that is the client. */
  readonly seenBy: Hop | undefined
  /** A timer decides, so every request takes that long. */
  readonly waits: boolean
  /** Ends in the middle of a body. */
  readonly cut: boolean
}

interface Kind {
  readonly kind: string
  readonly causes: readonly Cause[]
  readonly subCause?: string
  /** application: beside its own sidecar · callee: where it is called · caller: where it calls */
  readonly where: 'application' | 'callee' | 'caller'
  readonly waits?: boolean
  readonly cut?: boolean
}

const KINDS: readonly Kind[] = [
  { kind: 'app_error', causes: ['app_error'], where: 'application' },
  // A timer at a link says `timeout`, one beside the application `app_timeout`.
  { kind: 'app_timeout', causes: ['app_timeout', 'timeout'], where: 'application', waits: true },
  { kind: 'app_down', causes: ['app_down'], where: 'application' },
  { kind: 'reset', causes: ['reset'], where: 'application' },
  { kind: 'terminated', causes: ['terminated'], where: 'application' },
  { kind: 'protocol_error', causes: ['protocol_error'], where: 'application' },
  { kind: 'partial_length', causes: ['partial_body'], where: 'application', cut: true },
  { kind: 'partial_chunked', causes: ['partial_body'], where: 'application', cut: true },
  { kind: 'rate_limited', causes: ['rate_limited'], where: 'application' },
  { kind: 'denied', causes: ['denied'], where: 'application' },
  { kind: 'fault_injected', causes: ['fault_injected'], where: 'application' },
  { kind: 'connect_refused', causes: ['connect_refused'], where: 'callee' },
  { kind: 'connect_timeout', causes: ['connect_timeout'], where: 'callee' },
  { kind: 'unreachable', causes: ['unreachable'], where: 'callee' },
  { kind: 'no_healthy', causes: ['no_healthy'], where: 'callee' },
  { kind: 'dns', causes: ['dns'], where: 'callee' },
  // Who answers the call shows a certificate for another name, or one of an authority that nobody here knows.
  { kind: 'tls_name', causes: ['tls'], subCause: 'san_mismatch', where: 'callee' },
  { kind: 'tls_authority', causes: ['tls'], subCause: 'unknown_ca', where: 'callee' },
  { kind: 'timeout', causes: ['timeout'], where: 'callee', waits: true },
  { kind: 'per_try_timeout', causes: ['per_try_timeout'], where: 'callee', waits: true },
  { kind: 'stream_idle', causes: ['stream_idle'], where: 'callee', waits: true },
  { kind: 'max_duration', causes: ['max_duration'], where: 'callee', waits: true },
  // A wrapper only: the last attempt's cause is named.
  { kind: 'retry_exhausted', causes: ['app_error'], where: 'callee' },
  { kind: 'circuit_open', causes: ['circuit_open'], where: 'caller' },
  { kind: 'no_cluster', causes: ['no_cluster'], where: 'caller' },
  { kind: 'no_route', causes: ['no_route'], where: 'caller' },
  { kind: 'too_large', causes: ['too_large'], where: 'caller' },
]

export function callerOf(hop: Hop): Hop | undefined {
  return CHAIN[CHAIN.indexOf(hop) - 1]
}

export function calleeOf(hop: Hop): Hop | undefined {
  return CHAIN[CHAIN.indexOf(hop) + 1]
}

/** Every kind at every hop that has a victim for it. */
export const FAULTS: readonly Fault[] = KINDS.flatMap(({ kind, causes, subCause, where, waits = false, cut = false }) =>
  CHAIN.filter(hop => (where === 'application' ? true : where === 'callee' ? hop !== 'a' : hop !== 'd')).map(hop => ({
    kind,
    hop,
    origin: hop,
    causes,
    subCause,
    seenBy: where === 'caller' ? hop : callerOf(hop),
    waits,
    cut,
  })),
)

/** `fault('d:app_error')` */
export function fault(name: string): Fault {
  const [hop, kind] = name.split(':')
  const found = FAULTS.find(candidate => candidate.hop === hop && candidate.kind === kind)
  if (found === undefined) throw new Error(`no fault ${name}`)
  return found
}

/** One request: what is done to it, and how applications take it. */
export interface Plan {
  /** The fault the client is to see; undefined where it sees none. */
  readonly fault: Fault | undefined
  /** Of the application that sees the failure first. */
  readonly manner: Manner
  /** A failure besides that is swallowed by the application that calls there. */
  readonly besides?: Fault
  /** Route timeout of every sidecar, in milliseconds. */
  readonly budgetMs?: number
  /** The client goes away after so long. */
  readonly abortAfterMs?: number
  readonly headers?: Readonly<Record<string, string>>
}

export const INNOCENT: Plan = { fault: undefined, manner: 'pass' }

export function faultHeader({ fault, besides }: Plan): string {
  return [fault, besides].map(one => (one === undefined ? '' : `;${one.hop}:${one.kind};`)).join('')
}

/** `c:swallow`: who does what; nobody where the client is the first to see it. */
export function mannerHeader({ fault, manner, besides }: Plan): string {
  const of = (seen: Hop | undefined, how: Manner) => (seen === undefined ? '' : `;${seen}:${how};`)
  return of(fault?.seenBy, manner) + of(besides?.seenBy, 'swallow')
}

/** What the client has to see: a failure, unless somebody hides it. */
export function isVisible({ fault, manner, abortAfterMs }: Plan): boolean {
  if (fault === undefined || abortAfterMs !== undefined) return false
  return fault.seenBy === undefined || manner === 'pass' || manner === 'retry' || manner === 'stream'
}
