/** Runs a connection over bytes in pieces and writes down what it tells, and what it sent in the end. */
import { type HeaderMap, RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import { http2ClientConnection, http2ServerConnection } from '../../../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2Connection,
  type Http2ConnectionError,
  type Http2Counters,
  type Http2Options,
  type Http2ServerEvents,
  type Http2ServerStream,
  type Http2Stream,
  newHttp2Counters,
} from '../../../../sidecar/codec/http2/contract.ts'
import { PREFACE } from '../../../../sidecar/codec/http2/frame/frame-type.ts'
import type { RequestDecoder, ResponseDecoder, StreamFailure } from '../../../../sidecar/codec/stream.ts'
import { codeName, printFrame, readFrames } from './frames.ts'

export type Role = 'server' | 'client'

/** What a case says of the connection besides the bytes; every field has a default. */
export interface ConnectionSetting {
  readonly options?: Partial<Http2Options>
  /** Client role: methods of the requests that are sent first, each ended by its head unless `POST`. */
  readonly requests?: readonly string[]
  /** Server role: requests are answered by 200 with the end of the stream as soon as they are complete. */
  readonly answer?: boolean
}

export interface Run {
  /** Events in order, data of one stream put together where nothing comes in between. */
  readonly log: readonly string[]
  readonly sent: readonly string[]
  readonly counters: Http2Counters
  readonly connection: Http2Connection
}

/** Surrounds each piece, so that whoever looks beyond the end is found out. */
const BEFORE = Buffer.from([0, 0, 4, 0, 1, 0, 0, 0, 1])
const AFTER = Buffer.from([0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])

/** Throws when the connection breaks what holds for every input. */
export function run(role: Role, pieces: readonly Buffer[], setting: ConnectionSetting = {}): Run {
  const recorder = new Recorder(setting)
  const counters = newHttp2Counters()
  const options = { ...DEFAULT_HTTP2_OPTIONS, ...setting.options }
  const written: Buffer[] = []
  const sink = {
    write(bytes: Buffer): boolean {
      written.push(Buffer.from(bytes))
      return true
    },
    bufferedBytes: 0,
  }
  let connection: Http2Connection
  if (role === 'server') connection = http2ServerConnection(options, recorder, sink, counters)
  else {
    const client = http2ClientConnection(options, recorder, sink, counters)
    connection = client
    for (const method of setting.requests ?? ['GET']) {
      const stream = client.openStream(new ResponseLog(recorder, () => stream.id))
      const headers = new RequestHeaders(method.replace(/\+.*/, ''), '/', 'a', 'http')
      if (method.includes('+')) headers.protocol = method.replace(/.*\+/, '')
      recorder.open.add(recorder.open.size * 2 + 1)
      stream.encodeHeaders(headers, method !== 'POST' && method !== 'CONNECT' && !method.includes('+'))
    }
  }
  recorder.connection = connection
  for (const piece of pieces) {
    const chunk = Buffer.concat([BEFORE, piece, AFTER])
    connection.receive(chunk.subarray(BEFORE.length, BEFORE.length + piece.length))
    // What was lent is overwritten: whoever kept a view would show it.
    chunk.fill(0x2a)
  }
  connection.flush()
  const out = Buffer.concat(written)
  const isPreface = out.subarray(0, PREFACE.length).equals(PREFACE)
  if (isPreface !== (role === 'client')) throw new Error('only a client begins with the preface')
  const sent = readFrames(isPreface ? out.subarray(PREFACE.length) : out).map(printFrame)
  if (connection.activeStreams !== counters.streams_active) throw new Error('streams are counted wrongly')
  if (connection.activeStreams !== recorder.open.size) throw new Error('streams are told wrongly')
  return { log: recorder.log, sent, counters, connection }
}

class Recorder implements Http2ServerEvents {
  readonly log: string[] = []
  /** Streams told of and not yet closed. */
  readonly open = new Set<number>()
  connection: Http2Connection | undefined
  failed = false
  readonly #setting: ConnectionSetting

  constructor(setting: ConnectionSetting) {
    this.#setting = setting
  }

  tell(text: string): void {
    if (this.failed) throw new Error(`told after the end: ${text}`)
    const last = this.log.at(-1)
    const data = /^data \d+ /.exec(text)?.[0]
    if (data !== undefined && last?.startsWith(data) === true) {
      if (last.endsWith(' end')) throw new Error('data after the end')
      this.log[this.log.length - 1] = last + text.slice(data.length)
    } else this.log.push(text)
  }

  onWantsFlush(): void {}
  onSettings(): void {
    const { peerMaxConcurrentStreams } = this.connection!
    this.tell(Number.isFinite(peerMaxConcurrentStreams) ? `settings, ${peerMaxConcurrentStreams} streams` : 'settings')
  }
  onGoAway(lastStreamId: number, code: number, debug: string): void {
    this.tell(`goaway ${lastStreamId} ${codeName(code)} ${JSON.stringify(debug)}`)
  }
  onPingAck(opaque: bigint): void {
    this.tell(`ping ack ${opaque}`)
  }
  onConnectionError({ code, details, rfc, message }: Http2ConnectionError): void {
    this.tell(`error ${codeName(code)} ${details} (${rfc}): ${message}`)
    this.failed = true
  }
  onStreamClosed(stream: Http2Stream): void {
    if (!stream.closed || !this.open.delete(stream.id)) throw new Error(`closed twice or never opened: ${stream.id}`)
    this.tell(`closed ${stream.id}`)
  }
  onStream(stream: Http2ServerStream, headers: RequestHeaders, endStream: boolean): void {
    this.open.add(stream.id)
    const log = new RequestLog(this, stream, this.#setting.answer === true)
    stream.decoder = log
    log.onRequestHeaders(headers, endStream)
  }
  onStreamRefused(streamId: number, { kind, details }: StreamFailure): void {
    this.tell(`refused ${streamId} ${kind} ${details}`)
  }
}

class RequestLog implements RequestDecoder {
  readonly #recorder: Recorder
  readonly #stream: Http2ServerStream
  readonly #answer: boolean
  #over = false
  constructor(recorder: Recorder, stream: Http2ServerStream, answer: boolean) {
    this.#recorder = recorder
    this.#stream = stream
    this.#answer = answer
  }
  onRequestHeaders(headers: RequestHeaders, endStream: boolean): void {
    const { method, path, authority, scheme, protocol } = headers
    let text = `request ${this.#stream.id} ${method} ${quote(path)} at ${quote(authority)} ${scheme}`
    if (protocol !== '') text += ` protocol=${protocol}`
    this.#tell(text + (endStream ? ' end' : '') + listText(headers), endStream)
  }
  onRequestData(data: Buffer, endStream: boolean): void {
    this.#tell(`data ${this.#stream.id} ${data.latin1Slice()}${endStream ? ' end' : ''}`, endStream)
  }
  onRequestTrailers(trailers: HeaderMap): void {
    this.#tell(`trailers ${this.#stream.id}${listText(trailers)}`, true)
  }
  onReset({ origin, kind, details }: StreamFailure): void {
    this.#recorder.tell(`reset ${this.#stream.id} ${origin} ${kind} ${details}`)
  }
  onResponseBackpressure(): void {}
  #tell(text: string, endStream: boolean): void {
    if (this.#over) throw new Error(`told after the end of the stream: ${text}`)
    this.#over = endStream
    this.#recorder.tell(text)
    if (endStream && this.#answer) this.#stream.encodeHeaders(new ResponseHeaders(200), true)
  }
}

class ResponseLog implements ResponseDecoder {
  readonly #recorder: Recorder
  readonly #id: () => number
  #over = false
  constructor(recorder: Recorder, id: () => number) {
    this.#recorder = recorder
    this.#id = id
  }
  onInformational(headers: ResponseHeaders): void {
    this.#tell(`informational ${this.#id()} ${headers.status}${listText(headers)}`, false)
  }
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.#tell(`response ${this.#id()} ${headers.status}${endStream ? ' end' : ''}${listText(headers)}`, endStream)
  }
  onResponseData(data: Buffer, endStream: boolean): void {
    this.#tell(`data ${this.#id()} ${data.latin1Slice()}${endStream ? ' end' : ''}`, endStream)
  }
  onResponseTrailers(trailers: HeaderMap): void {
    this.#tell(`trailers ${this.#id()}${listText(trailers)}`, true)
  }
  onReset({ origin, kind, details }: StreamFailure): void {
    this.#tell(`reset ${this.#id()} ${origin} ${kind} ${details}`, true)
  }
  onRequestBackpressure(): void {}
  #tell(text: string, last: boolean): void {
    if (this.#over) throw new Error(`told after the last event: ${text}`)
    this.#over = last
    this.#recorder.tell(text)
  }
}

/** Lines of the corpus: events, then what was sent behind our first SETTINGS and the window of the connection. */
export function printRun({ log, sent }: Run, requests = 0): string {
  let out = ''
  for (const text of log) {
    const [first, ...rest] = text.startsWith('data ') ? [printData(text)] : text.split('\n')
    out += `${first}\n`
    for (const line of rest) out += `  ${line}\n`
  }
  for (const line of sent.slice(2 + requests)) out += `sent ${line}\n`
  return out
}

function printData(text: string): string {
  const [, start, data, end] = /^(data \d+ )([\s\S]*?)( end)?$/.exec(text)!
  return `${start}${quote(data!)}${end ?? ''}`
}

function listText({ list }: HeaderMap): string {
  let out = ''
  for (let i = 0; i < list.length; i += 2) out += `\n${list[i]}: ${quote(list[i + 1]!)}`
  return out
}

/** In double quotes, runs of one long text shortened. */
function quote(text: string): string {
  const shown = text.length > 200 ? `${text.slice(0, 20)}… ${text.length} bytes` : text
  return JSON.stringify(shown).replace(/[\x7f-\xff]/g, byte => `\\x${byte.charCodeAt(0).toString(16)}`)
}
