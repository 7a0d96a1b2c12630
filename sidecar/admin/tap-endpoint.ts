/**
 * `/tap`: requests as they pass, as lines of JSON or of text, until whoever asked goes away. No endpoint of Envoy's (its
 * `/tap` belongs to the tap filter).
 *
 * Traffic never waits for the reader: a queue of {@link MAX_WAITING} events lies between, and what finds it full is lost,
 * counted, and told to the reader in its place.
 */
import { nearest } from '../base/suggest.ts'
import type { TapEvent, TapLoss, TapSink } from '../observability/tap.ts'
import { parseTapQuery, TAP_PARAMETERS, tapLine } from '../observability/tap-query.ts'
import { type AdminResponse, type Endpoint, respond, TEXT, text } from './message.ts'
import type { ServerControl } from './server-control.ts'

const MAX_WAITING = 1000
/** What was lost is told at least so often where nothing else is. */
const TICK_MS = 1000
/** After so many ticks an empty line goes out where there is nothing to tell: it shows who is gone. */
const BEAT_TICKS = 15
const NDJSON = 'application/x-ndjson'

export function tapEndpoints(control: ServerControl): Endpoint[] {
  return [
    {
      path: '/tap',
      help: 'print requests as they pass, until the connection is closed',
      params: [
        ...TAP_PARAMETERS,
        { name: 'format', help: 'File format to use (default json, one object a line)', choices: ['json', 'text'] },
      ],
      handle: ({ query }) => tap(control, query),
    },
  ]
}

const KNOWN = new Set([...TAP_PARAMETERS.map(({ name }) => name), 'format'])

function tap(control: ServerControl, parameters: URLSearchParams): AdminResponse {
  for (const name of parameters.keys()) {
    if (KNOWN.has(name)) continue
    // One that is passed over would show more than was asked for.
    const near = nearest(name, KNOWN)
    return text(`no parameter '${name}'${near === undefined ? '' : `, did you mean '${near}'?`}\n`, 400)
  }
  const format = parameters.get('format') || 'json'
  if (format !== 'json' && format !== 'text') return text(`format: json or text, not '${format}'\n`, 400)
  const query = parseTapQuery(parameters)
  if (typeof query === 'string') return text(`${query}\n`, 400)
  const stream = new TapStream(format)
  const stop = control.tap(query, stream)
  if (stop === undefined) return text('too many taps are open: end one of them\n', 503)
  stream.begin(stop)
  return respond(200, format === 'json' ? NDJSON : TEXT, stream)
}

/** The queue, read as pieces of text: all that waits at a time. */
class TapStream implements TapSink, AsyncIterableIterator<string, undefined> {
  readonly #format: 'json' | 'text'
  #waiting: string[] = []
  /** Reported once there is room again. */
  readonly #lost: Record<TapLoss, number> = { rate: 0, slow_reader: 0 }
  #wake: (() => void) | undefined
  #beat: NodeJS.Timeout | undefined
  #stop: (() => void) | undefined
  #over = false

  constructor(format: 'json' | 'text') {
    this.#format = format
  }

  begin(stop: () => void): void {
    this.#stop = stop
    // The head goes out with the first piece, so that the reader knows that it watches.
    this.#push(this.#format === 'json' ? '{"kind":"start"}' : '')
    let ticks = 0
    this.#beat = setInterval(() => {
      if (this.#hasLost) this.#wake?.()
      else if (++ticks % BEAT_TICKS === 0 && this.#waiting.length === 0) this.#push('')
    }, TICK_MS)
    this.#beat.unref()
  }

  event(event: TapEvent): void {
    if (this.#waiting.length >= MAX_WAITING) {
      if (event.kind === 'end') this.lost(1, 'slow_reader')
      return
    }
    this.#push(this.#format === 'json' ? JSON.stringify(event) : tapLine(event))
  }

  lost(requests: number, why: TapLoss): void {
    this.#lost[why] += requests
  }

  async next(): Promise<IteratorResult<string, undefined>> {
    while (this.#waiting.length === 0 && !this.#over && !this.#hasLost) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    if (this.#over) return { done: true, value: undefined }
    const lines = this.#waiting
    this.#waiting = []
    for (const why of ['rate', 'slow_reader'] as const) {
      const requests = this.#lost[why]
      if (requests === 0) continue
      this.#lost[why] = 0
      lines.push(
        this.#format === 'json'
          ? JSON.stringify({ kind: 'lost', requests, why })
          : `lost requests=${requests} why=${why}`,
      )
    }
    return { done: false, value: `${lines.join('\n')}\n` }
  }

  /** The reader is gone. */
  async return(): Promise<IteratorResult<string, undefined>> {
    this.#over = true
    clearInterval(this.#beat)
    this.#stop?.()
    this.#wake?.()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  get #hasLost(): boolean {
    return this.#lost.rate > 0 || this.#lost.slow_reader > 0
  }

  #push(line: string): void {
    this.#waiting.push(line)
    this.#wake?.()
  }
}
