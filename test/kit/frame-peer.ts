/**
 * One end of an HTTP/2 connection made of raw frames, for tests that do what no library would: what it sends is the test's
 * business, what comes back is told as lines that do not depend on the order in which streams are served.
 */
import { connect, type Socket } from 'node:net'
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts'
import { codeName } from '../unit/codec/http2/frames.ts'
import { type Frame, FrameReader, FrameType, frame, PREFACE, SETTINGS, SETTINGS_ACK } from './http2-frames.ts'
import { waitFor } from './wait-for.ts'

const ACK = 1
const END_STREAM = 1
const PADDED = 8
const PRIORITY = 0x20

export class FramePeer {
  readonly socket: Socket
  readonly frames: Frame[] = []
  closed = false
  /** Status and fields of responses, or fields of requests, by the frame that began them. */
  readonly #heads = new Map<Frame, ReadonlyMap<string, string>>()
  readonly #decoder = new HpackDecoder(4096)
  #pings = 0

  constructor(socket: Socket, onFrame: (frame: Frame) => void = () => {}) {
    this.socket = socket
    const reader = new FrameReader()
    socket.on('data', (bytes: Buffer) => {
      for (const frame of reader.push(bytes)) {
        this.frames.push(frame)
        if (frame.type === FrameType.Headers) this.#heads.set(frame, this.#decode(frame))
        onFrame(frame)
      }
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      this.closed = true
    })
  }

  /** A client; its preface and an empty SETTINGS are sent unless it begins otherwise. */
  static connect(port: number, ...first: readonly Buffer[]): FramePeer {
    const peer = new FramePeer(connect({ port, host: '127.0.0.1', noDelay: true }))
    peer.send(...(first.length > 0 ? first : [PREFACE, SETTINGS]))
    return peer
  }

  send(...parts: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts))
  }

  acknowledgeSettings(): void {
    this.send(SETTINGS_ACK)
  }

  of(type: number): Frame[] {
    return this.frames.filter(frame => frame.type === type)
  }

  /** The connection is over: it has been closed, or GOAWAY with an error says that it will be. */
  get over(): boolean {
    return this.closed || this.of(FrameType.GoAway).some(({ payload }) => payload.readUInt32BE(4) !== 0)
  }

  /** Until all that was sent has been looked at, as the answer to a PING shows; or the connection is over. */
  async settled(): Promise<void> {
    // What the first one finds under way has been written before the second is answered.
    for (let i = 0; i < 2 && !this.over; i++) {
      const opaque = Buffer.from(`settle${String(++this.#pings).padStart(2, '0')}`)
      this.send(frame(FrameType.Ping, 0, 0, opaque))
      const answered = () =>
        this.of(FrameType.Ping).some(({ flags, payload }) => flags === ACK && payload.equals(opaque))
      await waitFor(() => this.over || answered(), { what: 'the answer to a PING' })
    }
  }

  /** What it was told of before anything else: SETTINGS in the order of their identifiers, and the window of the connection. */
  get greeting(): string {
    const [first] = this.of(FrameType.Settings)
    const parameters: [number, number][] = []
    for (let at = 0; at < (first?.payload.length ?? 0); at += 6) {
      parameters.push([first!.payload.readUInt16BE(at), first!.payload.readUInt32BE(at + 2)])
    }
    const window = this.of(FrameType.WindowUpdate).find(({ streamId }) => streamId === 0)
    const list = parameters.sort(([a], [b]) => a - b).map(([id, value]) => `${id}=${value}`)
    return `SETTINGS ${list.join(' ')}, window +${window?.payload.readUInt32BE(0) ?? 0}`
  }

  /** PINGs of the other side, and which frames came before each. */
  get pingsBehind(): string[] {
    const pings: string[] = []
    for (const [i, { type, flags }] of this.frames.entries()) {
      if (type !== FrameType.Ping || flags === ACK) continue
      const heads = this.frames.slice(0, i).filter(({ type }) => type === FrameType.Headers)
      pings.push(`PING behind ${heads.length} heads`)
    }
    return pings
  }

  /** What came, by stream: status, bytes of body, trailers, end or code of the reset; then codes of GOAWAY, and whether it is over. */
  story(): string[] {
    const streams = new Map<number, string[]>()
    const goAways: string[] = []
    const bytes = new Map<number, number>()
    for (const one of this.frames) {
      const { type, flags, streamId, payload } = one
      if (type === FrameType.GoAway) goAways.push(`GOAWAY ${codeName(payload.readUInt32BE(4))}`)
      if (streamId === 0) continue
      let parts = streams.get(streamId)
      if (parts === undefined) streams.set(streamId, (parts = []))
      if (type === FrameType.Headers) parts.push(this.#heads.get(one)!.get(':status') ?? 'head')
      else if (type === FrameType.Data) bytes.set(streamId, (bytes.get(streamId) ?? 0) + payload.length)
      else if (type === FrameType.RstStream) parts.push(`reset ${codeName(payload.readUInt32BE(0))}`)
      if ((type === FrameType.Headers || type === FrameType.Data) && (flags & END_STREAM) !== 0) parts.push('end')
    }
    const lines: string[] = []
    for (const [id, parts] of [...streams].sort(([a], [b]) => a - b)) {
      const body = bytes.get(id)
      if (parts.length > 0) lines.push(`stream ${id}: ${parts.join(', ')}${body ? `, ${body} bytes` : ''}`)
    }
    return [...lines, ...goAways, ...(this.over ? ['over'] : [])]
  }

  #decode({ flags, payload }: Frame): ReadonlyMap<string, string> {
    const fields = new Map<string, string>()
    let start = 0
    let end = payload.length
    if ((flags & PADDED) !== 0) {
      end -= payload[0]!
      start++
    }
    if ((flags & PRIORITY) !== 0) start += 5
    this.#decoder.decode(payload, start, end, { onField: ({ name }, value) => fields.set(name, value) })
    return fields
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
