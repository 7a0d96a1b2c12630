/** Runs a parser over bytes in pieces and writes down what it tells, each event with the offset where it was told. */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import type { Http1Error } from '../../../../sidecar/codec/http1/error.ts'
import type { Http1Framing, Http1Limits } from '../../../../sidecar/codec/http1/framing.ts'
import { Http1RequestParser, Http1ResponseParser } from '../../../../sidecar/codec/http1/parser.ts'

export type MessageKind = 'request' | 'response'

/** What a case says of the parser besides the bytes; every field has a default. */
export interface ParserSetting {
  /** The requests that responses answer, in order: `HEAD`, or `GET+upgrade`. One GET by default. */
  readonly answers?: readonly string[]
  readonly options?: Readonly<Record<string, boolean | string>>
  readonly limits?: Readonly<Partial<Http1Limits>>
  /** The peer ends the connection after the bytes. */
  readonly fin?: boolean
  /** Upgrades that requests ask for are accepted: what follows the head is a tunnel. */
  readonly tunnel?: boolean
}

export interface LogEntry {
  /** `head …`, `body "…"`, `trailers …`, `end`, `error …`. */
  readonly text: string
  /** Bytes consumed when it was told; for adjacent bodies, which are one entry, after the last of them. */
  readonly at: number
}

/**
 * The events that `pieces` give. Offsets are exact with `pause`, where every event stops the parser, and with pieces of one
 * byte; otherwise several events of one `execute` share the offset where it stopped. Throws when the parser breaks what
 * holds for every input.
 */
export function eventLog(
  kind: MessageKind,
  pieces: readonly Buffer[],
  setting: ParserSetting = {},
  pause = false,
): LogEntry[] {
  const recorder = new Recorder(setting, pause)
  const answers = [...(setting.answers ?? ['GET'])]
  const parser =
    kind === 'request'
      ? new Http1RequestParser(recorder, setting.options, setting.limits)
      : new Http1ResponseParser(recorder, setting.options, setting.limits)
  recorder.parser = parser
  const expectNext = () => {
    if (!(parser instanceof Http1ResponseParser) || !parser.idle) return
    const next = answers.shift()?.split('+')
    if (next !== undefined) parser.expectResponse(next[0]!, next[1] === 'upgrade')
  }
  expectNext()
  let consumed = 0
  for (const piece of pieces) {
    // Surrounded by other bytes, so that whoever looks beyond the end is found out.
    const chunk = Buffer.concat([BEFORE, piece, AFTER])
    const end = BEFORE.length + piece.length
    let at = BEFORE.length
    while (at < end && !recorder.failed) {
      recorder.chunk = chunk
      recorder.from = at
      recorder.to = end
      const told = recorder.told
      const next = parser.execute(chunk, at, end)
      if (next < at || next > end) throw new Error(`consumed from ${at} to ${next} of [${at}, ${end})`)
      if (next === at && recorder.told === told) throw new Error(`stuck at ${consumed}`)
      consumed += next - at
      recorder.settle(consumed)
      at = next
      if (recorder.failed && parser.execute(chunk, at, end) !== at) throw new Error('consumed after an error')
      expectNext()
    }
  }
  if (setting.fin === true) {
    parser.finish()
    recorder.settle(consumed)
    parser.finish()
  }
  return recorder.log
}

const BEFORE = Buffer.from('0\r\n\r\n')
const AFTER = Buffer.from('\r\n\r\nX: y\r\n\r\n0\r\n\r\n')

class Recorder {
  readonly log: LogEntry[] = []
  parser: Http1RequestParser | Http1ResponseParser | undefined
  failed = false
  /** Count of events. */
  told = 0
  chunk: Buffer = Buffer.alloc(0)
  from = 0
  to = 0
  readonly #setting: ParserSetting
  readonly #pause: boolean
  #pending: string[] = []

  constructor(setting: ParserSetting, pause: boolean) {
    this.#setting = setting
    this.#pause = pause
  }

  onHead(headers: RequestHeaders | ResponseHeaders, framing: Http1Framing): void {
    this.#tell(`head ${startText(headers)} ${framingText(framing)}${listText(headers)}`)
    if (this.#setting.tunnel === true && framing.upgrade !== '' && framing.bodyKind !== 'tunnel') this.parser!.tunnel()
  }

  onBody(chunk: Buffer, start: number, end: number): void {
    if (chunk !== this.chunk || start < this.from || end > this.to || start >= end) {
      throw new Error(`body [${start}, ${end}) is not of the chunk given`)
    }
    this.#tell(`body ${chunk.latin1Slice(start, end)}`)
  }

  onTrailers(trailers: HeaderMap): void {
    this.#tell(`trailers${listText(trailers)}`)
  }

  onMessageEnd(): void {
    this.#tell('end')
  }

  onError(error: Http1Error): void {
    this.#tell(`error ${error.kind} ${error.status} ${error.details}: ${error.message}`)
    this.failed = true
  }

  /** The parser has stopped at `consumed`: what it told stands there. */
  settle(consumed: number): void {
    for (const text of this.#pending) {
      const last = this.log.at(-1)
      if (text.startsWith('body ') && last?.text.startsWith('body ')) {
        this.log[this.log.length - 1] = { text: last.text + text.slice(5), at: consumed }
      } else this.log.push({ text, at: consumed })
    }
    this.#pending = []
  }

  #tell(text: string): void {
    if (this.failed) throw new Error(`told after an error: ${text}`)
    this.told++
    this.#pending.push(text)
    if (this.#pause) this.parser!.pause()
  }
}

/** One line per event and header, as the corpus has it. */
export function printLog(log: readonly LogEntry[]): string {
  let out = ''
  for (const { text, at } of log) {
    const [first, ...rest] = text.startsWith('body ') ? [`body ${printBytes(text.slice(5))}`] : text.split('\n')
    out += `${at} ${first}\n`
    for (const line of rest) out += `  ${line}\n`
  }
  return out
}

function startText(headers: HeaderMap): string {
  if ('status' in headers) return String((headers as ResponseHeaders).status)
  const { method, path, authority, scheme } = headers as RequestHeaders
  return `${method} ${printBytes(path)} at ${printBytes(authority)} ${scheme}`
}

function framingText(framing: Http1Framing): string {
  let out = `HTTP/${framing.version / 10} ${framing.bodyKind}`
  // HTTP/1.0 prints as "HTTP/1".
  out = out.replace('HTTP/1 ', 'HTTP/1.0 ')
  if (framing.contentLength >= 0) out += ` length=${framing.contentLength}`
  if (!framing.keepAlive) out += ' close'
  if (framing.upgrade !== '') out += ` upgrade=${framing.upgrade}`
  if (framing.expectContinue) out += ' expect-continue'
  if (framing.informational) out += ' informational'
  if (framing.nominated.length > 0) out += ` nominated=${framing.nominated.join()}`
  return `${out} (${framing.rawHeadBytes} bytes)`
}

function listText({ list }: HeaderMap): string {
  let out = ''
  for (let i = 0; i < list.length; i += 2) out += `\n${list[i]}: ${printBytes(list[i + 1]!)}`
  return out
}

/** In double quotes, runs of one long text shortened. */
function printBytes(text: string): string {
  const shown = text.length > 200 ? `${text.slice(0, 20)}… ${text.length} bytes` : text
  return JSON.stringify(shown).replace(/[\x7f-\xff]/g, byte => `\\x${byte.charCodeAt(0).toString(16)}`)
}
