/**
 * What the demo can break, where, and what the truth then is. Plain data: the driver applies the injections, the judge
 * compares what the sidecars said with the truth, and neither knows the other's part.
 *
 * Left out of the classes of failure location, because nothing here can suffer them yet: `tls` (with `--mtls` every
 * certificate is good; the truth test has bad ones), `overloaded`, `breaker_open`.
 */
import type { Cause } from '../sidecar/failure-origin/record.ts'
import type { Behaviour } from './behaviour.ts'
import { CALLEES, INSTANCES, type Service } from './layout.ts'

/** How a failure ended: seen by whoever called the edge, or not. */
export type Outcome = 'visible' | 'masked' | 'retried' | 'background' | 'cancelled' | 'slow'

export interface Truth {
  /** Who is really broken; undefined where nobody is to be blamed. */
  readonly origin: string | undefined
  /** The first is what it is; the others are what it also looks like while it begins and ends. */
  readonly causes: readonly Cause[]
  readonly outcomes: readonly Outcome[]
  /** Attempts that each failure must have taken at least. */
  readonly attempts?: number
}

export type Injection =
  | { readonly kind: 'behave'; readonly instance: string; readonly behaviour: Behaviour }
  | { readonly kind: 'kill'; readonly instance: string; readonly process: 'application' | 'sidecar' }
  | { readonly kind: 'traffic'; readonly traffic: TrafficShape }

export interface TrafficShape {
  /** Requests a second. */
  readonly rate?: number
  /** The caller loses patience. */
  readonly abortAfterMs?: number
  /** Requests are POSTs with a body of this size. */
  readonly bodyBytes?: number
  /** Callers send half of that body, and then nothing more; or, instead of the rest, what is no chunk. */
  readonly breaksOff?: 'silent' | 'garbled'
  /** Another than what is asked for usually. */
  readonly path?: string
  /** Besides the usual ones, or in their stead. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface Fault {
  readonly kind: string
  readonly hop: string
  /** For people: what is broken, in a few words. */
  readonly title: string
  readonly injections: readonly Injection[]
  readonly truth: Truth
}

export interface FaultKind {
  readonly name: string
  readonly help: string
  readonly hops: readonly string[]
  /** Part of every run, whatever the seed. */
  readonly always?: boolean
  at(hop: string): Omit<Fault, 'kind' | 'hop'>
}

/** Slower than this, callers give up; see the timeouts in `config/`. */
export const PATIENCE_MS: Readonly<Record<string, number>> = { a: 1200, b: 900, c: 650, d: 400, outside: 150 }

/** Steady traffic, in requests a second, and what becomes of it on a machine that is slow or busy with other things. */
export const STEADY_RATE = 25
export const LEAST_RATE = 8
/** For what keeps requests waiting: more of them would fill the circuit breakers as well. */
const WAITING_RATE = 12

const CHAIN = ['a', 'b', 'c', 'd'] as const
const ANYWHERE = [...CHAIN, 'outside'] as const
const SLOW_MS = 150

export const CATALOGUE: readonly FaultKind[] = [
  {
    name: 'down',
    help: 'nothing listens where it is called',
    hops: ['b', 'c', 'd', 'outside'],
    always: true,
    at: hop => ({
      title: hop === 'outside' ? 'outside is down' : `${hop} is down, sidecar and all`,
      injections: hop === 'outside' ? kill(hop, 'application') : [...kill(hop, 'sidecar'), ...kill(hop, 'application')],
      truth: visible(hop, 'connect_refused', 'terminated', 'reset', 'partial_body', 'unreachable', 'no_healthy'),
    }),
  },
  {
    name: 'status',
    help: 'answers 500',
    hops: ANYWHERE,
    always: true,
    at: hop => ({
      title: `${hop} answers 500`,
      injections: behave(hop, { status: 500 }),
      truth: visible(hop, 'app_error'),
    }),
  },
  {
    name: 'slow',
    help: `takes ${SLOW_MS} ms longer; nothing fails`,
    hops: CHAIN,
    always: true,
    at: hop => ({
      title: `${hop} is slow by ${SLOW_MS} ms, nothing fails`,
      injections: behave(hop, { delayMs: SLOW_MS }),
      truth: { origin: hop, causes: [], outcomes: ['slow'] },
    }),
  },
  {
    name: 'swallowed',
    help: 'fails, and its caller hides it',
    hops: ['c', 'd', 'outside'],
    always: true,
    at: hop => ({
      title: `${hop} answers 500 and ${callerOf(hop)} swallows it`,
      injections: [...behave(hop, { status: 500 }), ...behave(callerOf(hop), { swallow: true })],
      truth: { origin: hop, causes: ['app_error'], outcomes: ['masked'] },
    }),
  },
  {
    name: 'cut',
    help: 'breaks off in the middle of a body',
    hops: ANYWHERE,
    always: true,
    at: hop => ({
      title: `${hop} cuts its answer short`,
      injections: behave(hop, { cutBody: hop === 'b' || hop === 'd' ? 'chunked' : 'length' }),
      truth: visible(hop, 'partial_body', 'reset', 'terminated'),
    }),
  },
  {
    name: 'too-large',
    help: 'sends more than the next takes (413)',
    hops: ['front', 'a', 'b', 'c'],
    always: true,
    at: hop => ({
      title: hop === 'front' ? 'callers send 100 kB where 64 are taken' : `${hop} sends 100 kB where 64 are taken`,
      injections:
        hop === 'front' ? [{ kind: 'traffic', traffic: { bodyBytes: 100_000 } }] : behave(hop, { sendBytes: 100_000 }),
      truth: visible(hop, 'too_large'),
    }),
  },
  {
    name: 'overflow',
    help: 'makes more calls at once than its circuit breaker lets through',
    hops: ['b', 'c'],
    always: true,
    at: hop => ({
      title: `${hop} makes 40 calls at once, its circuit breaker lets 32 through`,
      injections: [...behave(hop, { fanOut: 40 }), { kind: 'traffic', traffic: { rate: 5 } }],
      // Of the calls too many, one is the request's reason; the others show nowhere.
      truth: { ...visible(hop, 'circuit_open'), outcomes: ['visible', 'masked'] },
    }),
  },
  {
    name: 'rate-limit',
    help: 'more traffic than its rate limit lets through',
    hops: ['a'],
    always: true,
    at: hop => ({
      title: `100 requests a second, ${hop}'s rate limit lets 40 through`,
      injections: [{ kind: 'traffic', traffic: { rate: 100 } }],
      truth: visible(hop, 'rate_limited'),
    }),
  },
  {
    name: 'crash',
    help: 'its process is killed; the sidecar stays',
    hops: CHAIN,
    at: hop => ({
      title: `${hop}'s application is killed`,
      injections: kill(hop, 'application'),
      truth: visible(hop, 'app_down', 'terminated', 'reset', 'partial_body', 'no_healthy'),
    }),
  },
  {
    name: 'crash-one',
    help: 'one of three instances is killed; retries go elsewhere',
    hops: ['d1', 'd2', 'd3'],
    at: hop => ({
      title: `${hop}'s application is killed, retries find another`,
      injections: [{ kind: 'kill', instance: hop, process: 'application' }],
      truth: { origin: 'd', causes: ['app_down', 'terminated', 'reset'], outcomes: ['retried'] },
    }),
  },
  {
    name: 'hang',
    help: 'takes requests and never answers',
    hops: CHAIN,
    at: hop => ({
      title: `${hop} hangs`,
      injections: [...behave(hop, { hang: true }), { kind: 'traffic', traffic: { rate: WAITING_RATE } }],
      truth: visible(hop, 'app_timeout', 'timeout', 'per_try_timeout'),
    }),
  },
  {
    name: 'timeout',
    help: 'a host outside the mesh does not answer',
    hops: ['outside'],
    at: hop => ({
      title: `${hop} hangs on /history`,
      injections: behave(hop, { path: '/history', hang: true }),
      truth: visible(hop, 'timeout'),
    }),
  },
  {
    name: 'per-try-timeout',
    help: 'no attempt is answered in time',
    hops: ['outside'],
    at: hop => ({
      title: `${hop} hangs on /rates, at every attempt`,
      injections: behave(hop, { path: '/rates', hang: true }),
      truth: { ...visible(hop, 'per_try_timeout', 'timeout'), attempts: 2 },
    }),
  },
  {
    name: 'idle',
    help: 'a stream on which nothing moves',
    hops: ['outside'],
    at: hop => ({
      title: `${hop} sends nothing on /feed`,
      injections: behave(hop, { path: '/feed', hang: true }),
      truth: visible(hop, 'stream_idle', 'timeout'),
    }),
  },
  {
    name: 'reset',
    help: 'resets the connection instead of answering',
    hops: ANYWHERE,
    at: hop => ({
      title: `${hop} resets its connections`,
      injections: behave(hop, { reset: true }),
      truth: visible(hop, 'reset', 'terminated'),
    }),
  },
  {
    name: 'closed',
    help: 'closes the connection instead of answering',
    hops: ANYWHERE,
    at: hop => ({
      title: `${hop} closes its connections unanswered`,
      injections: behave(hop, { close: true }),
      truth: visible(hop, 'terminated', 'reset'),
    }),
  },
  {
    name: 'garbage',
    help: 'answers what is no HTTP',
    hops: ANYWHERE,
    at: hop => ({
      title: `${hop} answers what is no HTTP`,
      injections: behave(hop, { garbage: true }),
      truth: visible(hop, 'protocol_error'),
    }),
  },
  {
    name: 'retries-exhausted',
    help: 'answers 503 at every attempt',
    hops: ['outside'],
    at: hop => ({
      title: `${hop} answers 503 on /rates, at every attempt`,
      injections: behave(hop, { path: '/rates', status: 503 }),
      truth: { ...visible(hop, 'app_error'), attempts: 2 },
    }),
  },
  {
    name: 'connect-timeout',
    help: 'a host that does not accept connections',
    hops: ['b'],
    at: hop => ({
      title: `${hop} calls archive, which lets nobody connect`,
      injections: behave(hop, { alsoCall: 'archive' }),
      truth: visible('archive', 'connect_timeout'),
    }),
  },
  {
    name: 'dns',
    help: 'a host whose name does not exist',
    hops: ['a', 'c'],
    at: hop => ({
      title: `${hop} calls ledger, whose name does not exist`,
      injections: behave(hop, { alsoCall: 'ledger' }),
      truth: visible('ledger', 'dns', 'no_healthy'),
    }),
  },
  {
    name: 'no-healthy',
    help: 'a service without any healthy instance',
    hops: ['c'],
    at: hop => ({
      title: `${hop} calls reports, which has no healthy instance`,
      injections: behave(hop, { alsoCall: 'reports' }),
      truth: visible('reports', 'no_healthy'),
    }),
  },
  {
    name: 'no-route',
    help: 'calls a host that its sidecar has no route for',
    hops: ['a', 'b', 'c'],
    at: hop => ({
      title: `${hop} calls a host that its sidecar has no route for`,
      injections: behave(hop, { alsoCall: 'nobody' }),
      truth: visible(hop, 'no_route'),
    }),
  },
  {
    name: 'no-cluster',
    help: 'its route leads to a cluster that does not exist',
    hops: ['a'],
    at: hop => ({
      title: `${hop}'s route to payments leads to no cluster`,
      injections: behave(hop, { alsoCall: 'payments' }),
      truth: visible(hop, 'no_cluster'),
    }),
  },
  {
    name: 'denied',
    help: 'asks for a WebSocket, which its sidecar does not let through',
    hops: ['a', 'b', 'c'],
    at: hop => ({
      title: `${hop} asks for a WebSocket, which its sidecar does not let through`,
      injections: behave(hop, { upgrade: CALLEES[hop as keyof typeof CALLEES] }),
      truth: visible(hop, 'denied'),
    }),
  },
  {
    name: 'injected',
    help: "its sidecar's fault filter aborts calls",
    hops: ['b', 'c'],
    at: hop => ({
      title: `${hop}'s fault filter aborts its calls`,
      injections: behave(hop, { headers: { 'x-envoy-fault-abort-request': '503' } }),
      truth: visible(hop, 'fault_injected'),
    }),
  },
  {
    name: 'cancelled',
    help: 'callers go away; nobody is to be blamed',
    hops: ['front'],
    at: () => ({
      title: 'callers go away after 100 ms, d takes 250: nobody is to be blamed',
      injections: [...behave('d', { delayMs: 250 }), { kind: 'traffic', traffic: { abortAfterMs: 100 } }],
      truth: { origin: undefined, causes: [], outcomes: ['cancelled'] },
    }),
  },
  {
    name: 'background',
    help: 'a call that belongs to no request fails',
    hops: ['outside'],
    at: hop => ({
      title: `${hop} fails c's background job, no request is concerned`,
      injections: behave(hop, { path: '/refresh', status: 500 }),
      truth: { origin: hop, causes: ['app_error'], outcomes: ['background', 'masked'] },
    }),
  },
]

export function faultOf(kind: FaultKind, hop: string): Fault {
  return { kind: kind.name, hop, ...kind.at(hop) }
}

function behave(service: string, behaviour: Behaviour): Injection[] {
  return instancesOf(service).map(instance => ({ kind: 'behave', instance, behaviour }))
}

function kill(service: string, process: 'application' | 'sidecar'): Injection[] {
  return instancesOf(service).map(instance => ({ kind: 'kill', instance, process }))
}

export function instancesOf(name: string): readonly string[] {
  return Object.hasOwn(INSTANCES, name) ? INSTANCES[name as Service] : [name]
}

/** Whoever calls it, of the mesh. */
export function callerOf(hop: string): string {
  return hop === 'outside' ? 'c' : CHAIN[CHAIN.indexOf(hop as Service) - 1]!
}

function visible(origin: string, ...causes: Cause[]): Truth {
  return { origin, causes, outcomes: ['visible'] }
}
