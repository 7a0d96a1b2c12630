/** Steady traffic at the edge: so many requests a second, whatever becomes of them, and what callers saw. */
import { Agent, request } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { STEADY_RATE, type TrafficShape } from './catalogue.ts'

export interface Seen {
  /** `200`, `503`, `cut` (a body that ended early), `broken` (no answer), `gave up` (the caller went away). */
  readonly what: string
  readonly ms: number
  readonly failureId: string
}

export interface Edge {
  readonly host: string
  readonly port: number
  readonly path: string
  /** Over TLS: PEM of the authority that its certificate has to be of. */
  readonly ca?: string
}

/** What the edge is called by its callers. */
const SITE = 'shop.example'
/** Behind by more than this, requests are left out: a burst would look like a fault of its own. */
const MAX_BEHIND = 3

type Shape = Required<Omit<TrafficShape, 'breaksOff'>> & Pick<TrafficShape, 'breaksOff'>

const USUAL: Omit<Shape, 'path'> = { rate: STEADY_RATE, abortAfterMs: 0, bodyBytes: 0, headers: {} }

export class Traffic {
  readonly #edge: Edge
  readonly #agent: Agent
  #usualRate = STEADY_RATE
  #shape: Shape
  #seen: Seen[] = []
  #timer: NodeJS.Timeout | undefined
  #next = 0
  #inFlight = 0
  #idle: (() => void) | undefined
  #successes = 0

  /** To a port of this machine, or to an edge elsewhere. */
  constructor(edge: number | Edge) {
    this.#edge = typeof edge === 'number' ? { host: '127.0.0.1', port: edge, path: '/' } : edge
    this.#shape = { ...USUAL, path: this.#edge.path }
    const how = { keepAlive: true, maxSockets: 500 }
    const { ca } = this.#edge
    this.#agent = ca === undefined ? new Agent(how) : new HttpsAgent({ ...how, ca, servername: SITE })
  }

  start(): void {
    this.#next = performance.now()
    this.#timer ??= setInterval(() => this.#tick(), 5)
  }

  /** No more requests; resolves when those in flight have ended. */
  async pause(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    if (this.#inFlight === 0) return
    await new Promise<void>(resolve => {
      this.#idle = resolve
    })
  }

  /** Requests a second, now. */
  get rate(): number {
    return this.#shape.rate
  }

  /** How many a second there are as long as nobody wants others. */
  set usualRate(rate: number) {
    this.#usualRate = rate
    this.shape({})
  }

  shape(shape: TrafficShape): void {
    this.#shape = { ...USUAL, rate: this.#usualRate, path: this.#edge.path, ...shape }
    this.#next = performance.now()
  }

  /** What callers saw since the last question. */
  take(): Seen[] {
    const seen = this.#seen
    this.#seen = []
    return seen
  }

  /** Successes in a row up to now. */
  get successes(): number {
    return this.#successes
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#agent.destroy()
  }

  #tick(): void {
    const now = performance.now()
    const gap = 1000 / this.#shape.rate
    if (this.#next < now - MAX_BEHIND * gap) this.#next = now
    for (; this.#next <= now; this.#next += gap) this.#send()
  }

  #send(): void {
    const { abortAfterMs, bodyBytes, breaksOff, path, headers } = this.#shape
    const started = performance.now()
    let over = false
    const end = (what: string, failureId = ''): void => {
      if (over) return
      over = true
      clearTimeout(patience)
      this.#seen.push({ what, ms: performance.now() - started, failureId })
      this.#successes = what === '200' ? this.#successes + 1 : 0
      if (--this.#inFlight === 0) this.#idle?.()
    }
    this.#inFlight++
    const { host, port, ca } = this.#edge
    const outgoing = (ca === undefined ? request : httpsRequest)(
      {
        host,
        port,
        path,
        method: bodyBytes > 0 ? 'POST' : 'GET',
        agent: this.#agent,
        headers: { host: SITE, ...(breaksOff === 'silent' && { 'content-length': bodyBytes }), ...headers },
      },
      response => {
        response.resume()
        response.on('error', () => end('cut'))
        response.on('close', () => {
          const failureId = String(response.headers['x-failure-id'] ?? '')
          end(response.complete ? String(response.statusCode) : 'cut', failureId)
          if (breaksOff !== undefined) outgoing.destroy()
        })
      },
    )
    const patience =
      abortAfterMs > 0 ? setTimeout(() => outgoing.destroy(new Error('gave up')), abortAfterMs) : undefined
    outgoing.on('error', error => end(error.message === 'gave up' ? 'gave up' : 'broken'))
    if (breaksOff === undefined) {
      outgoing.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
      return
    }
    outgoing.write(Buffer.alloc(bodyBytes / 2, 'x'), () => {
      if (breaksOff === 'garbled') outgoing.socket?.write('no chunk\r\n')
    })
  }
}

/** `503 ×12, 200 ×3`, the most frequent first. */
export function summaryOf(seen: readonly Seen[]): string {
  const counts = new Map<string, number>()
  for (const { what } of seen) counts.set(what, (counts.get(what) ?? 0) + 1)
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([what, count]) => `${what} ×${count}`)
    .join(', ')
}

export function medianMs(seen: readonly Seen[]): number {
  const sorted = seen.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
