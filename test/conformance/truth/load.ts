/** Sends planned requests to the head of the chain, so many at a time, and notes what the client sees. */
import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Control, Reached } from './applications.ts'
import { TIMES_HEADER } from './door.ts'
import { faultHeader, type Hop, mannerHeader, type Plan } from './faults.ts'
import type { Evidence, Mesh } from './mesh.ts'
import { wallMs } from './wall-clock.ts'

export interface Seen {
  readonly plan: Plan
  /** By which the first sidecar knows the request. */
  readonly requestId: string
  /** {@link wallMs}. */
  readonly sentMs: number
  /** When the sidecar that was asked had it, and when it answered, by its own door; undefined where it has none. */
  readonly door: { readonly cameMs: number; readonly answeredMs: number } | undefined
  /** 0 where none came. */
  readonly status: number
  readonly failureId: string
  readonly proxyStatus: string
  /** The body broke off. */
  readonly cut: boolean
}

export interface Run {
  /** The hop that clients ask. */
  readonly entry: Hop
  readonly seen: readonly Seen[]
  readonly evidence: Evidence
  /** How far requests came that somebody was to hang on. */
  readonly reached: readonly Reached[]
  readonly ms: number
}

/** How clients come. */
export interface Pace {
  /** Over so long they come for the first time. */
  readonly spreadMs?: number
  /** Between an answer and the next request of the same client. */
  readonly pauseMs?: number
  /** The hop that they ask; the head of the chain where nothing else is said. */
  readonly entry?: Hop
}

/** Failures are written down when streams end, some a timer's tick after the client has its answer. */
const SETTLE_MS = 150
const QUIET_MS = 500

/** Who hangs is waited for so long, where nothing else is said. */
const HANG_MS = 400

/** All of `plans`, in this order, `concurrency` at a time, with `control` in force; then asks the sidecars. */
export async function runPlans(
  mesh: Mesh,
  plans: readonly Plan[],
  concurrency: number,
  control: Control = {},
  { spreadMs = 0, pauseMs = 0, entry = 'a' }: Pace = {},
): Promise<Run> {
  await mesh.control(control)
  // Services have quiet moments, in which sidecars see what is called without any request.
  if (control.background !== undefined) await delay(QUIET_MS)
  const agent = new Agent({ keepAlive: true })
  const seen: Seen[] = []
  const started = performance.now()
  let next = 0
  const worker = async (_: unknown, i: number) => {
    // Clients do not come all in one moment, so that fifty timers do not fire in one either.
    await delay((i * spreadMs) / concurrency)
    while (next < plans.length) {
      const one = await send(mesh.ports.of[entry].ingress, plans[next++]!, agent)
      seen.push(one)
      if (pauseMs > 0) await delay(pauseMs)
      // The head of the chain tells of a cut before the rest of it is done with the request.
      if (one.cut && concurrency === 1) await mesh.idle()
    }
  }
  await Promise.all(Array.from({ length: concurrency }, () => 0).map(worker))
  const ms = performance.now() - started
  agent.destroy()
  // Nothing may go on failing while the sidecars are asked one after the other.
  await mesh.control({})
  await delay(SETTLE_MS)
  return { entry, seen, evidence: await mesh.takeEvidence(), reached: await mesh.takeReached(), ms }
}

function send(port: number, plan: Plan, agent: Agent): Promise<Seen> {
  return new Promise(resolve => {
    const requestId = randomUUID()
    const nothing = {
      plan,
      requestId,
      sentMs: wallMs(),
      door: undefined,
      status: 0,
      failureId: '',
      proxyStatus: '',
      cut: false,
    }
    const budgetMs = plan.budgetMs ?? (plan.fault?.kind === 'app_timeout' ? HANG_MS : undefined)
    const headers: Record<string, string> = {
      'x-request-id': requestId,
      'x-number': requestId,
      'x-fault': faultHeader(plan),
      'x-manner': mannerHeader(plan),
      ...(budgetMs !== undefined && { 'x-budget': String(budgetMs) }),
      ...plan.headers,
    }
    const body = plan.fault?.hop === 'client' ? Buffer.alloc(100_000) : undefined
    const method = body === undefined ? 'GET' : 'POST'
    const outgoing = request({ host: '127.0.0.1', port, path: pathOf(plan), agent, headers, method }, response => {
      const proxyStatus = String(response.headers['proxy-status'] ?? '')
      const head = {
        ...nothing,
        door: doorTimes(response.headers[TIMES_HEADER]),
        status: response.statusCode!,
        failureId: String(response.headers['x-failure-id'] ?? idIn(proxyStatus)),
        proxyStatus,
      }
      response.resume()
      response.on('end', () => resolve({ ...head, cut: !response.complete }))
      response.on('error', () => resolve({ ...head, cut: true }))
    })
    outgoing.on('error', () => resolve(nothing))
    outgoing.end(body)
    if (plan.abortAfterMs !== undefined) setTimeout(() => outgoing.destroy(), plan.abortAfterMs)
  })
}

function doorTimes(header: string | string[] | undefined): Seen['door'] {
  if (typeof header !== 'string') return undefined
  const [cameMs, answeredMs] = header.split(' ').map(Number)
  return { cameMs: cameMs!, answeredMs: answeredMs! }
}

/** Within the mesh the whole record is told, and not the id alone. */
function idIn(proxyStatus: string): string {
  return /; failure-id=(\w+)/.exec(proxyStatus)?.[1] ?? ''
}

/** `count` of them, evenly from all, in random order. */
export function mixed(plans: readonly Plan[], count: number): Plan[] {
  const mix = Array.from({ length: count }, (_, i) => plans[i % plans.length]!)
  for (let i = mix.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[mix[i], mix[j]] = [mix[j]!, mix[i]!]
  }
  return mix
}

/** What applications do about failures is their custom in an operation, so each manner is one of its own. */
function pathOf({ manner, besides }: Plan): string {
  return `/${besides === undefined ? manner : 'swallow'}`
}
