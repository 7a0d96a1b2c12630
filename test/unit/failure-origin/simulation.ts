/**
 * Services with their sidecars, applications and clients as discrete events: no sockets, no real time, thousands of
 * requests a second, the same outcome for the same seed. Every sidecar is a real `FailureLocator`; what the connection
 * manager and the router would do with it is done here.
 *
 * The truth travels beside each response, in a field no sidecar sees: whoever breaks something writes down what it broke,
 * and applications that pass a failure on pass that note on.
 */
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { hex64, SeededRandom, uuid4 } from '../../../sidecar/base/random.ts'
import type {
  AttemptFacts,
  CallTarget,
  MutableHeaders,
  StreamFailures,
} from '../../../sidecar/failure-origin/contract.ts'
import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'
import { FailureLocator } from '../../../sidecar/failure-origin/failure-origin.ts'
import { ledgerRing } from '../../../sidecar/failure-origin/ledger-ring.ts'
import { PlainLabelledStats } from '../../../sidecar/failure-origin/metrics.ts'
import { type FailureOriginSettings, failureOriginSettings } from '../../../sidecar/failure-origin/settings.ts'
import { ResponseFlag } from '../../../sidecar/observability/response-flags.ts'
import { type DownstreamConnectionInfo, StreamInfo } from '../../../sidecar/observability/stream-info.ts'

export interface Truth {
  readonly origin: string
  readonly cause: string
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly truth: Truth | undefined
  /** The body broke off; status and headers arrived. */
  readonly cut: boolean
}

/** What an application does: a generator that yields steps and gets their results. */
export type Step =
  | { readonly sleep: number }
  | { readonly call: string; readonly timeoutMs?: number }
  | { readonly callAll: readonly string[] }
export type Answer = { readonly status: number; readonly truth?: Truth | undefined; readonly cut?: boolean }
export type Application = (request: Inbound, random: SeededRandom) => Generator<Step, Answer, Reply[]>

export type CopyMode = 'headers' | 'otel' | 'request-id' | 'nothing'

/** What happens on the way to a service, before its sidecar has the request. */
export type LinkFault = (
  from: string,
  to: string,
  plan: string,
  random: SeededRandom,
) => AttemptFacts | 'hang' | undefined

export class Headers implements MutableHeaders {
  readonly map = new Map<string, string[]>()
  get(name: string): string | undefined {
    return this.map.get(name)?.[0]
  }
  getAll(name: string): string[] {
    return [...(this.map.get(name) ?? [])]
  }
  set(name: string, value: string): void {
    this.map.set(name, [value])
  }
  add(name: string, value: string): void {
    this.map.set(name, [...(this.map.get(name) ?? []), value])
  }
  delete(name: string): boolean {
    return this.map.delete(name)
  }
}

const CONNECTION: DownstreamConnectionInfo = {
  id: 1,
  directRemote: { ip: '10.0.0.1', port: 1 },
  local: { ip: '10.0.0.2', port: 2 },
  listenerName: '',
  filterChainName: '',
  tls: undefined,
  requestedServerName: '',
}

export interface ServiceSpec {
  readonly application: Application
  readonly copies: CopyMode
  readonly routeTimeoutMs?: number
  /** Of its ingress sidecar's route to the application. */
  readonly ingressTimeoutMs?: number
  /** Times its egress sidecar tries again after a 5xx or a failure to connect. */
  readonly retries?: number
  readonly edge?: boolean
  readonly settings?: Partial<FailureOriginSettings>
  /** Answers of the ingress sidecar itself, `undefined` for none: rate limits and the like. */
  readonly refuses?: (
    plan: string,
    random: SeededRandom,
  ) => { status: number; details: string; truth: Truth } | undefined
  readonly appDown?: (plan: string) => boolean
  /** Worker threads of its sidecar: each request and each call goes through any of them. */
  readonly workers?: number
}

/** One request inside a service: what the application can see, and what it is told to do. */
export interface Inbound {
  readonly service: Service
  readonly plan: string
  readonly traceId: string
  readonly spanId: string
  readonly requestId: string
  gone: boolean
}

/** One worker of a sidecar; most sidecars have one. */
export class SidecarWorker {
  readonly locator: FailureLocator
  readonly #targets = new Map<string, CallTarget>()

  constructor(locator: FailureLocator) {
    this.locator = locator
  }

  target(callee: string): CallTarget {
    let target = this.#targets.get(callee)
    if (target === undefined) {
      target = this.locator.target({ clusterName: callee, serviceName: callee, external: false })
      this.#targets.set(callee, target)
    }
    return target
  }
}

export class Service {
  readonly name: string
  readonly spec: ServiceSpec
  readonly workers: readonly SidecarWorker[]
  readonly stats = new PlainLabelledStats()
  /** Where in a tick of its timer wheel this process stands. */
  readonly phase: number
  readonly #random: SeededRandom

  constructor(name: string, spec: ServiceSpec, clock: ManualClock, random: SeededRandom) {
    this.name = name
    this.spec = spec
    this.phase = random.next() * 5
    this.#random = random
    const settings = failureOriginSettings({ service: name, maxLogEntries: 1_000_000, ...spec.settings })
    const count = spec.workers ?? 1
    const rings = Array.from({ length: count }, () => ledgerRing(count))
    const onLag = (worker: number) => this.workers[worker]!.locator.readShared()
    this.workers = rings.map((_, worker) => {
      const share = count === 1 ? undefined : { worker, rings, onLag }
      const locator = new FailureLocator(settings, { clock, random, stats: this.stats, share })
      locator.expectInbound()
      return new SidecarWorker(locator)
    })
  }

  /** The one that happens to have the connection. */
  anyWorker(): SidecarWorker {
    const { workers } = this
    return workers.length === 1 ? workers[0]! : workers[this.#random.uint32() % workers.length]!
  }
}

interface Event {
  readonly at: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** An event loop that has work to do: everything waits in one queue, and now and then it does something else. */
export interface LoopLoad {
  /** What one turn of the application takes. */
  readonly turnMs: number
  /** Interruptions (collection of garbage, another process on the core): how often, and how long on average. */
  readonly stallEveryMs: number
  readonly stallMs: number
}

const NETWORK_MS = 0.15
/** Of the timer wheel. */
const TICK_MS = 5

export class Simulation {
  readonly clock = new ManualClock()
  readonly random: SeededRandom
  readonly services = new Map<string, Service>()
  linkFault: LinkFault = () => undefined
  /** All applications share one loop, as in a test they do; undefined: as many cores as there are requests. */
  load: LoopLoad | undefined = undefined
  #loopFreeMs = 0
  #stalledUntil = 0
  #heap: Event[] = []
  #order = 0

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
  }

  add(name: string, spec: ServiceSpec): Service {
    const service = new Service(name, spec, this.clock, this.random)
    this.services.set(name, service)
    return service
  }

  get entries(): FailureEntry[] {
    return [...this.services.values()].flatMap(({ workers }) =>
      workers.flatMap(({ locator }) => locator.log.entries({ limit: 1_000_000 })),
    )
  }

  /** Exponentially distributed around `meanMs`, as work and networks are. */
  some(meanMs: number): number {
    return -Math.log(1 - this.random.next()) * meanMs
  }

  after(ms: number, run: () => void): Event {
    const event = { at: this.clock.now() + ms, order: this.#order++, run, cancelled: false }
    const heap = this.#heap
    heap.push(event)
    for (let i = heap.length - 1; i > 0; ) {
      const up = (i - 1) >> 1
      if (before(heap[up]!, heap[i]!)) break
      ;[heap[up], heap[i]] = [heap[i]!, heap[up]!]
      i = up
    }
    return event
  }

  /** After `ms`, as soon as the loop of the applications has done what came before. */
  afterTurn(ms: number, run: () => void): void {
    const { load } = this
    if (load === undefined) {
      this.after(ms, run)
      return
    }
    this.after(ms, () => {
      const now = this.clock.now()
      // Whether it was interrupted since the last turn.
      while (this.#stalledUntil <= now) {
        this.#loopFreeMs = Math.max(this.#loopFreeMs, this.#stalledUntil) + this.some(load.stallMs)
        this.#stalledUntil += this.some(load.stallEveryMs)
      }
      this.#loopFreeMs = Math.max(this.#loopFreeMs, now) + load.turnMs * (0.5 + this.random.next())
      this.after(this.#loopFreeMs - now, run)
    })
  }

  /** A timer of the proxy: fires on the wheel's next tick after its deadline, at each service at another phase. */
  timer(ms: number, phase: number, run: () => void): Event {
    const due = this.clock.now() + ms
    const tick = Math.ceil((due - phase) / TICK_MS) * TICK_MS + phase
    return this.after(tick - this.clock.now(), run)
  }

  /** Runs until nothing is left to do or `untilMs` has come. */
  run(untilMs = Number.POSITIVE_INFINITY): void {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= untilMs) {
      const event = this.#pop()
      if (event.cancelled) continue
      this.clock.advance(event.at - this.clock.now())
      event.run()
    }
  }

  #pop(): Event {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      for (let i = 0; ; ) {
        const left = 2 * i + 1
        if (left >= heap.length) break
        const least = left + 1 < heap.length && before(heap[left + 1]!, heap[left]!) ? left + 1 : left
        if (before(heap[i]!, heap[least]!)) break
        ;[heap[i], heap[least]] = [heap[least]!, heap[i]!]
        i = least
      }
    }
    return first
  }

  /** A client outside of the mesh asks `service`. */
  request(service: string, plan: string, done: (reply: Reply) => void): void {
    this.#inbound(this.services.get(service)!, plan, { traceId: '', spanId: '', requestId: '', budgetMs: 0 }, done)
  }

  /** The sidecar of `from` calls `to` for its application. `inbound` undefined: background work. */
  call(
    from: Service,
    to: string,
    inbound: Inbound | undefined,
    plan: string,
    done: (reply: Reply) => void,
  ): () => void {
    return new EgressStream(this, from, to, inbound, plan, done).cancel
  }

  /** Returns what the caller's sidecar does when it gives up. */
  inbound(
    service: Service,
    plan: string,
    wire: { traceId: string; spanId: string; requestId: string; budgetMs: number },
    done: (reply: Reply) => void,
  ): () => void {
    return this.#inbound(service, plan, wire, done)
  }

  #inbound(
    service: Service,
    plan: string,
    wire: { traceId: string; spanId: string; requestId: string; budgetMs: number },
    done: (reply: Reply) => void,
  ): () => void {
    const { clock, random } = this
    const info = new StreamInfo(CONNECTION, 'HTTP/1.1', clock.now(), clock.wall())
    info.traceId = wire.traceId || hex64(random) + hex64(random)
    info.spanId = hex64(random)
    info.requestId = wire.requestId || uuid4(random)
    const edge = service.spec.edge === true
    const worker = service.anyWorker()
    const failures = worker.locator.inboundStart({
      startMs: info.startMs,
      traceId: info.traceId,
      spanId: info.spanId,
      requestId: info.requestId,
      sampled: false,
      wireSpanId: wire.spanId,
      path: '/work',
      budgetMs: wire.budgetMs,
      peerIp: edge ? '203.0.113.9' : '10.0.0.1',
      tls: undefined,
      callerName: '',
      edge,
    })
    let over = false
    const request: Inbound = {
      service,
      plan,
      traceId: info.traceId,
      spanId: info.spanId,
      requestId: info.requestId,
      gone: false,
    }
    const respond = (status: number, details: string, local: boolean, truth: Truth | undefined, cut: boolean) => {
      if (over) return
      over = true
      timer?.cancelled !== undefined && (timer.cancelled = true)
      const headers = new Headers()
      info.responseCode = status
      info.responseCodeDetails = details
      info.localReply = local
      failures.responseHead(info, headers)
      if (cut) {
        info.responseFlags |= ResponseFlag.UpstreamProtocolError
        info.responseCodeDetails = 'upstream_reset_after_response_started{protocol_error}'
        failures.attemptFailed({ kind: 'terminated', details: '' })
      }
      info.endMs = clock.now()
      failures.end(info)
      if (local) request.gone = true
      this.after(NETWORK_MS, () => done({ status, headers, truth, cut }))
    }
    let timer: Event | undefined
    const refusal = service.spec.refuses?.(plan, random)
    failures.routed(worker.target('application'), info.requestId, '/work', '')
    if (refusal !== undefined) respond(refusal.status, refusal.details, true, refusal.truth, false)
    else if (service.spec.appDown?.(plan) === true) {
      failures.attemptFailed({ kind: 'connect_refused', details: 'ECONNREFUSED', host: '127.0.0.1:8080' })
      const truth = { origin: service.name, cause: 'app_down' }
      respond(503, 'upstream_reset_before_response_started{remote_connection_failure}', true, truth, false)
    } else {
      const limit = failures.limitTimeout(service.spec.ingressTimeoutMs ?? 15_000, clock.now())
      const fire = () => {
        if (over) return
        const more = failures.timeoutFired(clock.now())
        if (more > 0) {
          timer = this.timer(more, service.phase, fire)
          return
        }
        failures.attemptFailed({ kind: 'route_timeout', details: '' })
        info.responseFlags |= ResponseFlag.UpstreamRequestTimeout
        respond(504, 'response_timeout', true, this.hangTruth(request), false)
      }
      timer = this.timer(limit, service.phase, fire)
      const application = service.spec.application(request, random)
      this.afterTurn(0.05, () => {
        this.#step(request, application, [], answer => {
          if (over) return
          failures.attemptHead(new Headers(), answer.status, info)
          respond(answer.status, 'via_upstream', false, answer.truth, answer.cut === true)
        })
      })
    }
    return () => {
      if (over) return
      over = true
      if (timer !== undefined) timer.cancelled = true
      request.gone = true
      info.responseFlags |= ResponseFlag.DownstreamConnectionTermination
      info.responseCodeDetails = 'downstream_remote_disconnect'
      info.endMs = clock.now()
      failures.end(info)
    }
  }

  /** Set by tests in which something hangs: who it is, for the truth of timeouts. */
  hangTruth: (request: Inbound) => Truth = request => ({ origin: request.service.name, cause: 'app_timeout' })

  #step(
    request: Inbound,
    application: Generator<Step, Answer, Reply[]>,
    replies: Reply[],
    done: (answer: Answer) => void,
  ): void {
    const next = application.next(replies)
    if (next.done === true) {
      this.after(0.05, () => done(next.value))
      return
    }
    const step = next.value
    if ('sleep' in step) {
      this.afterTurn(step.sleep, () => this.#step(request, application, [], done))
      return
    }
    const callees = 'call' in step ? [step.call] : step.callAll
    const results: Reply[] = []
    let left = callees.length
    callees.forEach((callee, i) => {
      const cancel = this.call(request.service, callee, request, request.plan, reply => {
        if (results[i] !== undefined) return
        results[i] = reply
        left--
        if (left === 0) this.afterTurn(0.03, () => this.#step(request, application, results, done))
      })
      if ('call' in step && step.timeoutMs !== undefined) {
        this.after(step.timeoutMs, () => {
          if (results[i] !== undefined) return
          const truth = this.hangTruth(request)
          results[i] = { status: 0, headers: new Headers(), truth, cut: true }
          cancel()
          this.afterTurn(0.03, () => this.#step(request, application, results, done))
        })
      }
    })
  }
}

function before(a: Event, b: Event): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order
}

/** One call through an egress sidecar, with its retries. */
class EgressStream {
  readonly #sim: Simulation
  readonly #from: Service
  readonly #to: string
  readonly #plan: string
  readonly #done: (reply: Reply) => void
  readonly #info: StreamInfo
  readonly #failures: StreamFailures
  readonly #wire: { traceId: string; spanId: string; requestId: string; budgetMs: number }
  #timer: Event | undefined
  #triesLeft: number
  #over = false
  #cancelUpstream: (() => void) | undefined

  constructor(
    sim: Simulation,
    from: Service,
    to: string,
    inbound: Inbound | undefined,
    plan: string,
    done: (reply: Reply) => void,
  ) {
    this.#sim = sim
    this.#from = from
    this.#to = to
    this.#plan = plan
    this.#done = done
    this.#triesLeft = from.spec.retries ?? 0
    const { clock, random } = sim
    const copies = inbound === undefined ? 'nothing' : from.spec.copies
    const traced = copies === 'headers' || copies === 'otel'
    const info = new StreamInfo(CONNECTION, 'HTTP/1.1', clock.now(), clock.wall())
    this.#info = info
    const sentRequestId = copies === 'headers' || copies === 'request-id' ? inbound!.requestId : ''
    const worker = from.anyWorker()
    this.#failures = worker.locator.egressStart({
      startMs: info.startMs,
      info,
      traceId: traced ? inbound!.traceId : '',
      parentSpanId: copies === 'headers' ? inbound!.spanId : copies === 'otel' ? hex64(random) : '',
      requestId: sentRequestId,
      edge: false,
    })
    info.traceId = traced ? inbound!.traceId : (this.#failures.inferred?.traceId ?? hex64(random) + hex64(random))
    info.spanId = hex64(random)
    info.requestId = sentRequestId || uuid4(random)
    info.upstreamHost = { ip: '10.0.0.7', port: 80 }
    this.#failures.routed(worker.target(to), info.requestId, '/work', info.spanId)
    const budgetMs = this.#failures.limitTimeout(from.spec.routeTimeoutMs ?? 15_000, clock.now())
    this.#wire = {
      traceId: info.traceId,
      spanId: info.spanId,
      requestId: info.requestId,
      budgetMs: Math.ceil(budgetMs),
    }
    if (budgetMs < 1) {
      info.localReply = true
      this.#respond(504, 'deadline_exceeded', new Headers(), { origin: from.name, cause: 'deadline_exceeded' }, false)
      return
    }
    this.#timer = sim.timer(budgetMs, from.phase, () => this.#timeout())
    this.#attempt()
  }

  readonly cancel = (): void => {
    if (this.#over) return
    this.#over = true
    if (this.#timer !== undefined) this.#timer.cancelled = true
    this.#cancelLater()
    this.#info.responseFlags |= ResponseFlag.DownstreamConnectionTermination
    this.#info.responseCodeDetails = 'downstream_remote_disconnect'
    this.#info.endMs = this.#sim.clock.now()
    this.#failures.end(this.#info)
  }

  #attempt(): void {
    const fault = this.#sim.linkFault(this.#from.name, this.#to, this.#plan, this.#sim.random)
    if (fault === 'hang') return
    if (fault !== undefined) {
      this.#sim.after(NETWORK_MS * 2, () => {
        if (this.#over) return
        this.#failures.attemptFailed(fault)
        if (this.#retry()) return
        this.#info.localReply = true
        const truth = { origin: this.#to, cause: fault.kind }
        this.#respond(503, `upstream_reset_before_response_started{${fault.kind}}`, new Headers(), truth, false)
      })
      return
    }
    const callee = this.#sim.services.get(this.#to)!
    this.#sim.after(NETWORK_MS, () => {
      if (this.#over) return
      this.#cancelUpstream = this.#sim.inbound(callee, this.#plan, this.#wire, reply => {
        if (this.#over) return
        this.#failures.attemptHead(reply.headers, reply.status, this.#info)
        if (reply.status >= 500 && this.#retry()) return
        this.#respond(reply.status, 'via_upstream', reply.headers, reply.truth, reply.cut)
      })
    })
  }

  #retry(): boolean {
    if (this.#triesLeft === 0 || !this.#failures.mayRetry()) return false
    this.#triesLeft--
    this.#failures.attemptRetried(this.#info)
    this.#sim.after(this.#sim.some(2), () => {
      if (!this.#over) this.#attempt()
    })
    return true
  }

  #timeout(): void {
    if (this.#over) return
    this.#failures.attemptFailed({ kind: 'route_timeout', details: '' })
    this.#info.localReply = true
    this.#info.responseFlags |= ResponseFlag.UpstreamRequestTimeout
    this.#cancelLater()
    const truth = this.#sim.hangTruth({ ...NOBODY, service: this.#from, plan: this.#plan })
    this.#respond(504, 'response_timeout', new Headers(), truth, false)
  }

  #cancelLater(): void {
    const cancel = this.#cancelUpstream
    if (cancel !== undefined) this.#sim.after(NETWORK_MS, cancel)
  }

  #respond(status: number, details: string, headers: Headers, truth: Truth | undefined, cut: boolean): void {
    this.#over = true
    if (this.#timer !== undefined) this.#timer.cancelled = true
    const info = this.#info
    info.responseCode = status
    info.responseCodeDetails = details
    this.#failures.responseHead(info, headers)
    if (cut) this.#failures.attemptFailed({ kind: 'terminated', details: '' })
    const end = () => {
      info.endMs = this.#sim.clock.now()
      this.#failures.end(info)
    }
    end()
    this.#sim.after(0.02, () => this.#done({ status, headers: new Headers(), truth, cut }))
  }
}

const NOBODY = { traceId: '', spanId: '', requestId: '', gone: false }
