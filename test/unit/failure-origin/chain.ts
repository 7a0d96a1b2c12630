/** The chain a→b→c→d of the truth test, on the simulation: applications, faults, clients, background calls. */
import type { SeededRandom } from '../../../sidecar/base/random.ts'
import type { FailureOriginSettings } from '../../../sidecar/failure-origin/settings.ts'
import {
  type Answer,
  type Application,
  type CopyMode,
  type Inbound,
  type LoopLoad,
  type Reply,
  Simulation,
  type Step,
} from './simulation.ts'
import { check, type Verdicts, type Visible } from './truth-check.ts'

/** How an application takes the failure of a call. */
export type Manner = 'pass' | 'swallow' | 'retry' | 'delay'

export interface ChainOptions {
  readonly seed: number
  readonly copies: CopyMode
  readonly concurrency: number
  readonly requests: number
  readonly manner?: Partial<Record<string, Manner>>
  /** Share of requests to which each fault is done, one fault per request at most. */
  readonly faults?: readonly Fault[]
  readonly backgroundEveryMs?: number
  /** Services whose applications make background calls. */
  readonly backgroundOf?: readonly string[]
  readonly routeTimeoutMs?: number
  /** Of every ingress sidecar's route to its application. */
  readonly ingressTimeoutMs?: number
  /** Clients come one after the other over so long, rather than all at once. */
  readonly spreadMs?: number
  readonly retries?: number
  readonly workMs?: number
  /** Of the steps of work this share takes no time at all, and the others any up to twice `workMs`. */
  readonly workless?: readonly [before: number, after: number]
  readonly settings?: Partial<FailureOriginSettings>
  /** A call that `c` keeps open all the time. */
  readonly longPoll?: boolean
  /** An application that gives its calls this long. */
  readonly appTimeoutMs?: number
  /** Worker threads of every sidecar. */
  readonly workers?: number
  readonly load?: LoopLoad
  /** Requests that come before all others, when there are other faults and applications take these otherwise. */
  readonly earlier?: Custom & { readonly requests: number }
}

type Custom = Pick<ChainOptions, 'faults' | 'manner' | 'workMs' | 'appTimeoutMs'>

export interface Fault {
  readonly at: string
  readonly kind:
    | 'own-500'
    | 'own-500-first'
    | 'own-500-swallowed'
    | 'refused'
    | 'hang'
    | 'app-down'
    | 'rate-limited'
    | 'cut'
  readonly share: number
  /** Done to the same requests. */
  readonly also?: Pick<Fault, 'at' | 'kind'>
}

const QUIET_MS = 500
const NEXT: Readonly<Record<string, string>> = { a: 'b', b: 'c', c: 'd' }
const CHAIN = ['a', 'b', 'c', 'd']

export interface ChainRun {
  readonly sim: Simulation
  readonly seen: readonly Visible[]
  readonly verdicts: Verdicts
}

export function runChain(options: ChainOptions): ChainRun {
  const { seed, copies, concurrency, workMs = 1, earlier } = options
  const requests = options.requests + (earlier?.requests ?? 0)
  const sim = new Simulation(seed)
  sim.load = options.load
  let started = 0
  const customNow = () => (earlier !== undefined && started <= earlier.requests ? earlier : options)
  // The plan of a request names the fault done to it, and each part looks whether it is meant.
  const isAt = (plan: string, at: string, kind: Fault['kind']) => plan.split('+').includes(`${at}:${kind}`)
  for (const name of CHAIN) {
    sim.add(name, {
      application: applicationOf(sim, name, options.workless, customNow, isAt),
      copies,
      ...(options.workers === undefined ? {} : { workers: options.workers }),
      edge: name === 'a',
      ...(options.routeTimeoutMs === undefined ? {} : { routeTimeoutMs: options.routeTimeoutMs }),
      ...(options.ingressTimeoutMs === undefined ? {} : { ingressTimeoutMs: options.ingressTimeoutMs }),
      ...(options.retries === undefined ? {} : { retries: options.retries }),
      ...(options.settings === undefined ? {} : { settings: options.settings }),
      appDown: plan => isAt(plan, name, 'app-down'),
      refuses: plan =>
        isAt(plan, name, 'rate-limited')
          ? { status: 429, details: 'local_rate_limited', truth: { origin: name, cause: 'rate_limited' } }
          : undefined,
    })
  }
  sim.linkFault = (from, to, plan) => {
    if (to === 'dead') return { kind: 'connect_refused', details: 'ECONNREFUSED' }
    if (to === 'poll') return 'hang'
    return isAt(plan, to, 'refused') || isAt(plan, from, 'own-500-swallowed')
      ? { kind: 'connect_refused', details: 'ECONNREFUSED' }
      : undefined
  }
  // Who hangs is known from the plan; where nobody does, whoever's application is asked about.
  sim.hangTruth = request => {
    const at = request.plan.split(':')[0]!
    return { origin: request.plan.endsWith(':hang') ? at : request.service.name, cause: 'app_timeout' }
  }
  const seen: Visible[] = []
  let ended = 0
  const next = () => {
    if (started >= requests) return
    started++
    const plan = planOf(customNow().faults ?? [], sim.random)
    sim.request('a', plan, reply => {
      seen.push({ plan, reply })
      ended++
      sim.after(sim.some(0.5), next)
    })
  }
  // Services have quiet moments, in which sidecars see what is called without any request.
  const quietMs = options.backgroundEveryMs === undefined ? 0 : QUIET_MS
  for (let i = 0; i < concurrency; i++) {
    const spread = options.spreadMs === undefined ? sim.some(workMs * 4) : (i * options.spreadMs) / concurrency
    sim.after(quietMs + spread, next)
  }
  for (const name of options.backgroundOf ?? (options.backgroundEveryMs === undefined ? [] : CHAIN)) {
    const service = sim.services.get(name)!
    const tick = () => {
      if (ended >= requests) return
      sim.call(service, 'dead', undefined, 'background', () => {})
      sim.after(options.backgroundEveryMs ?? 10, tick)
    }
    sim.after(sim.some(5), tick)
  }
  if (options.longPoll === true) {
    const poll = () => {
      if (ended >= requests) return
      const cancel = sim.call(sim.services.get('c')!, 'poll', undefined, 'background', () => {})
      sim.after(60_000, () => {
        cancel()
        poll()
      })
    }
    poll()
  }
  sim.run()
  for (const service of sim.services.values()) {
    sim.clock.advance(60_000)
    for (const { locator } of service.workers) locator.sweep()
  }
  return { sim, seen, verdicts: check(sim, 'a', seen) }
}

function planOf(faults: readonly Fault[], random: SeededRandom): string {
  let draw = random.next()
  for (const { at, kind, share, also } of faults) {
    if (draw < share) return also === undefined ? `${at}:${kind}` : `${at}:${kind}+${also.at}:${also.kind}`
    draw -= share
  }
  return 'ok'
}

function applicationOf(
  sim: Simulation,
  name: string,
  workless: ChainOptions['workless'],
  customNow: () => Custom,
  isAt: (plan: string, at: string, kind: Fault['kind']) => boolean,
): Application {
  const work = (step: 0 | 1): number => {
    const { workMs = 1 } = customNow()
    if (workless === undefined) return sim.some(workMs)
    return sim.random.next() < workless[step] ? 0 : sim.random.next() * 2 * workMs
  }
  const own: Answer = { status: 500, truth: { origin: name, cause: 'app_error' } }
  return function* (request: Inbound): Generator<Step, Answer, Reply[]> {
    yield { sleep: work(0) }
    const { plan } = request
    if (isAt(plan, name, 'hang')) {
      yield { sleep: 120_000 }
      return { status: 200 }
    }
    if (isAt(plan, name, 'own-500-first')) return own
    if (isAt(plan, name, 'cut')) return { status: 200, cut: true, truth: { origin: name, cause: 'partial_body' } }
    const callee = NEXT[name]
    if (callee !== undefined) {
      const { appTimeoutMs, manner: manners } = customNow()
      const manner = manners?.[name] ?? 'pass'
      const timeout = appTimeoutMs === undefined ? {} : { timeoutMs: appTimeoutMs }
      let [reply] = yield { call: callee, ...timeout }
      if (isFailed(reply!) && manner === 'retry') {
        yield { sleep: sim.some(3) }
        ;[reply] = yield { call: callee, ...timeout }
      }
      if (isFailed(reply!) && manner !== 'swallow') {
        if (manner === 'delay') yield { sleep: 30 }
        return { status: reply!.status === 429 ? 429 : 500, truth: reply!.truth }
      }
    }
    yield { sleep: work(1) }
    if (isAt(plan, name, 'own-500') || isAt(plan, name, 'own-500-swallowed')) return own
    return { status: 200 }
  }
}

function isFailed(reply: Reply): boolean {
  return reply.status >= 500 || reply.status === 429 || reply.status === 0 || reply.cut
}
