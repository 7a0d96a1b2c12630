/**
 * A connection over a Node socket, plain or TLS: reading through buffers that are used again and again, and the ways a
 * connection ends. Its writing half is in `socket-writer.ts`.
 *
 * Node normally allocates 64 KiB for every read of a plain socket; with `onread` the same buffer is read into until
 * somebody who was lent it could not write it on at once (see `connection.ts`). A connection starts with a small buffer,
 * because most connections idle most of the time; a read that fills it gets the next one large.
 * test/bench/http1.bench.ts: large bodies cost 0.65 of what they cost with Node's own buffers, small requests 0.9.
 *
 * Under TLS the buffer is one that all connections share, as long as what they read is small, and then a record of its own.
 */
import type net from 'node:net'
import { type Address, addressText } from '../base/address.ts'
import { ownBug } from '../base/own-bug.ts'
import { Timer, type Timer as TimerHandle, type Timers } from '../base/timer-wheel.ts'
import type { TlsInfo } from '../observability/stream-info.ts'
import { type CloseReason, type Connection, type ConnectionHandler, heldWrites } from './connection.ts'
import { SMALL_READ, spare, takeLarge, takeRecord, takeSmall } from './read-buffers.ts'
import { type OnRead, readInto } from './read-into.ts'
import { MAX_COPIED_WRITE, SocketWriter } from './socket-writer.ts'
import type { TcpKeepalive } from './tcp-keepalive.ts'
import { beginTurn, endTurn } from './write-batch.ts'

let nextConnectionId = 1

export interface ConnectOptions {
  readonly connectTimeoutMs: number
  /** High watermark of the write buffer (`per_connection_buffer_limit_bytes`). */
  readonly bufferLimitBytes: number
  readonly bindAddress?: Address | undefined
  readonly keepAlive?: TcpKeepalive | undefined
  /** What a TLS handshake offers where its context names no protocols (RFC 7301). */
  readonly alpn?: readonly string[]
}

/**
 * What all accepted connections read their first bytes into: libuv fills a buffer and hands it over in one go, so one is
 * enough for all, and a connection that goes on as TLS never needs another. It is never lent for longer than that.
 */
const firstRead = Buffer.allocUnsafeSlow(16 * 1024)

/**
 * All that a Node socket knows of its connection, until the connection has closed or has another socket.
 *
 * Each Node socket has a closure that V8 allocates among the old objects (`WritableState.onwrite`: closures assigned to
 * properties are, in code that is not optimised). So a socket outlives the young generation however short its life was,
 * with whatever it points at: 5 kB a connection that were copied twice and found dead later, a fifth of the CPU time of
 * "one connection per request" (`npm run bench`). What the socket points at is this.
 */
class SocketLink {
  connection: SocketConnection | undefined
  constructor(connection: SocketConnection) {
    this.connection = connection
  }
}

/** What OpenSSL's or the kernel's error means; `connecting` until the connection (and its handshake) stands. */
export type ErrorReason = (error: NodeJS.ErrnoException, connecting: boolean) => CloseReason

export class SocketConnection implements Connection {
  readonly id = nextConnectionId++
  handler: ConnectionHandler
  tls: TlsInfo | undefined = undefined
  remote: Address
  bytesRead = 0
  closed = false
  readonly #timers: Timers
  readonly #writer: SocketWriter
  #link = new SocketLink(this)
  #socket!: net.Socket
  #buffer: Buffer
  #encrypted = false
  /** The handshake is under way: the socket belongs to OpenSSL, and what becomes of it is told by who began it. */
  #upgrading = false
  #errorReason: ErrorReason = plainReason
  #large = false
  #paused = 0
  #ended = false
  #connecting: boolean
  #closeReason: CloseReason | undefined
  #timer: TimerHandle | undefined
  #local: Address | undefined
  /** We have ended our half and wait for the peer to end its own. */
  #lingering = false

  constructor(remote: Address, handler: ConnectionHandler, timers: Timers, connecting: boolean) {
    this.remote = remote
    this.handler = handler
    this.#timers = timers
    this.#writer = new SocketWriter(above => this.#guard(() => this.handler.onBackpressure(above)))
    this.#connecting = connecting
    this.#buffer = connecting ? takeSmall() : firstRead
  }

  /** How a socket of this connection has to be made: it reads into buffers of ours (Node: `onread`). */
  get onread(): OnRead {
    const link = this.#link
    return {
      buffer: () => (link.connection === undefined ? firstRead : link.connection.#buffer),
      callback: (size, buffer) => {
        if (link.connection !== undefined) link.connection.#onRead(size, buffer as Buffer)
        return true
      },
    }
  }

  /** Joins this connection with its socket, which must have been made with {@link onread}. */
  attach(socket: net.Socket): void {
    this.#socket = socket
    this.#writer.attach(socket, this.#encrypted)
    const link = this.#link
    socket.on('end', () => {
      if (link.connection !== undefined) link.connection.#guard(link.connection.#onEnd)
    })
    socket.on('drain', () => {
      if (link.connection !== undefined) link.connection.#writer.onDrain()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (link.connection !== undefined) link.connection.#onError(error)
    })
    socket.on('close', () => {
      if (link.connection !== undefined) link.connection.#guard(link.connection.#onClose)
    })
  }

  /**
   * For a socket that hands out buffers of its own: accepted and wrapped by Node, or TLS.
   *
   * What is read goes to the connection from `push`, where the socket hands it to its stream; the stream itself only keeps
   * what comes while reading is paused. A stream that flows would ask itself in the next tick whether it should read more
   * (`maybeReadMore`), which a socket does anyway: 2 % of a small request over TLS (24 rounds of both side by side).
   */
  attachWrapped(socket: net.Socket): void {
    this.attach(socket)
    const link = this.#link
    const keep = socket.push
    socket.on('data', chunk => {
      if (link.connection !== undefined) link.connection.#deliver(chunk as Buffer)
    })
    socket.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
      const { connection } = link
      const straight = chunk !== null && connection !== undefined && connection.#paused === 0
      if (!straight || socket.readableLength > 0) return keep.call(socket, chunk, encoding)
      connection.#deliver(chunk)
      return true
    }
  }

  /** A TLS socket that is being connected; {@link onConnected} is called once its handshake is done. */
  attachEncrypted(socket: net.Socket, errorReason: ErrorReason): void {
    this.#encrypted = true
    this.#errorReason = errorReason
    this.attachWrapped(socket)
  }

  /**
   * Gives the socket away for a handshake; `peeked` is what has been read of it already. Until {@link endUpgrade} or
   * {@link failUpgrade} nothing is delivered and nothing may be written.
   */
  beginUpgrade(peeked: Buffer): net.Socket {
    this.#upgrading = true
    if (peeked.length > 0) this.#socket.unshift(peeked)
    return this.#socket
  }

  /** The handshake is done: from now on `socket` is this connection's. */
  endUpgrade(socket: net.Socket, tls: TlsInfo, errorReason: ErrorReason): void {
    this.#upgrading = false
    this.tls = tls
    this.bytesRead = 0
    this.#link.connection = undefined
    this.#link = new SocketLink(this)
    this.attachEncrypted(socket, errorReason)
    this.#readInto()
  }

  failUpgrade(reason: CloseReason): void {
    this.#upgrading = false
    this.#closeReason ??= reason
    this.#socket.destroy()
    this.#onClose()
  }

  /** Ends the connection for what is wrong with its peer: the reason is what the handler is told. */
  refuse(reason: CloseReason): void {
    this.#closeReason ??= reason
    this.#socket.destroy()
  }

  /** Gives up connecting after `timeoutMs`. */
  armConnectTimeout(timeoutMs: number): void {
    this.#timer = new Timer(() => {
      this.#closeReason = { kind: 'connect_timeout', details: '' }
      this.#socket.destroy()
    })
    this.#timers.start(this.#timer, timeoutMs)
  }

  onConnected(): void {
    this.#connecting = false
    if (this.#timer !== undefined) this.#timers.stop(this.#timer)
    if (this.#encrypted) this.#readInto()
    if (!this.closed) this.#guard(() => this.handler.onConnected())
  }

  get local(): Address {
    this.#local ??= { ip: unmappedIp(this.#socket.localAddress ?? ''), port: this.#socket.localPort ?? 0 }
    return this.#local
  }
  set local(address: Address) {
    this.#local = address
  }

  get bytesWritten(): number {
    return this.#writer.bytesWritten
  }

  get bufferedBytes(): number {
    return this.#writer.bufferedBytes
  }

  write(data: Buffer | string): void {
    this.#writer.write(data)
  }

  pauseReading(): void {
    if (this.#paused++ === 0 && !this.closed) this.#socket.pause()
  }

  resumeReading(): void {
    if (--this.#paused === 0 && !this.closed) this.#socket.resume()
  }

  closeAfterFlush(delayedCloseMs: number): void {
    if (this.closed) return
    this.#closeReason ??= { kind: 'local', details: '' }
    const socket = this.#socket
    if (this.#ended || delayedCloseMs === 0) {
      // Where everything is with the kernel, closing sends the same FIN, and two system calls less are made.
      if (!this.#encrypted && this.#writer.flushAll()) socket.destroy()
      else this.#writer.end(() => socket.destroy())
      return
    }
    this.#writer.end()
    // The peer is given time to read the answer and close itself: closing with unread input would send RST and could
    // destroy an answer that is still on its way (RFC 9112 §9.6). What it sends meanwhile is read and dropped.
    this.handler = new Lingering(this.handler)
    this.#lingering = true
    if (this.#paused > 0) {
      this.#paused = 0
      socket.resume()
    }
    this.#timer = new Timer(() => {
      this.#closeReason = DELAYED_CLOSE
      socket.destroy()
    })
    this.#timers.start(this.#timer, delayedCloseMs)
  }

  close(how: 'fin' | 'reset' = 'fin'): void {
    if (this.closed) return
    this.#closeReason ??= { kind: 'local', details: '' }
    // Under TLS the end is a close_notify or none, and the RST is the kernel's to send.
    if (how === 'reset' && !this.#encrypted) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  /** Reads into {@link firstRead}, as others do. */
  get #shares(): boolean {
    return this.#buffer === firstRead
  }

  /** Once a TLS session stands. */
  #readInto(): void {
    if (!this.#shares) spare(this.#buffer)
    this.#buffer = firstRead
    readInto(this.#socket, this.onread)
  }

  #onDecrypted(size: number, buffer: Buffer): void {
    const chunk = size === buffer.length ? buffer : buffer.subarray(0, size)
    if (this.#paused > 0 || this.#socket.readableLength > 0) {
      this.#socket.push(Buffer.from(chunk))
      return
    }
    if (this.#shares) {
      // Of what all of them share nothing may be held, which large chunks are.
      const large = size > MAX_COPIED_WRITE
      this.#deliver(large ? Buffer.from(chunk) : chunk)
      if (!large || this.closed) return
      this.#buffer = takeRecord()
      return
    }
    const held = heldWrites.count
    this.#deliver(chunk)
    if (this.closed) return
    if (heldWrites.count !== held) this.#buffer = takeRecord()
    else if (size <= MAX_COPIED_WRITE) {
      spare(this.#buffer)
      this.#buffer = firstRead
    }
  }

  #onRead(size: number, buffer: Buffer): void {
    if (this.#encrypted) {
      this.#onDecrypted(size, buffer)
      return
    }
    const chunk = size === buffer.length ? buffer : buffer.subarray(0, size)
    if (this.#shares) {
      this.#deliver(size > MAX_COPIED_WRITE ? Buffer.from(chunk) : chunk)
      if (this.#upgrading || this.closed) return
      this.#large = size === buffer.length
      this.#buffer = this.#large ? takeLarge() : takeSmall()
      return
    }
    const held = heldWrites.count
    this.#deliver(chunk)
    if (heldWrites.count !== held) {
      // Somebody still refers to the buffer; it is theirs now.
      this.#buffer = this.#large ? takeLarge() : takeSmall()
    } else if (this.#large) {
      if (size < SMALL_READ) {
        spare(this.#buffer)
        this.#large = false
        this.#buffer = takeSmall()
      }
    } else if (size === SMALL_READ) {
      this.#large = true
      spare(this.#buffer)
      this.#buffer = takeLarge()
    }
  }

  #onError(error: NodeJS.ErrnoException): void {
    this.#closeReason ??= this.#errorReason(error, this.#connecting)
  }

  #deliver(chunk: Buffer): void {
    this.bytesRead += chunk.length
    if (this.closed) return
    beginTurn()
    try {
      this.handler.onData(chunk)
    } catch (error) {
      this.#failFor(error)
    } finally {
      endTurn()
    }
  }

  /** Here exceptions end, with the connection they came over (`own-bug.ts`). */
  #guard(work: () => void): void {
    try {
      work.call(this)
    } catch (error) {
      this.#failFor(error)
    }
  }

  #failFor(error: unknown): void {
    ownBug(error, `connection with ${addressText(this.remote)}`)
    this.refuse(OWN_BUG)
  }

  #onEnd(): void {
    // Before a handshake is done the end is an error, and told as one.
    if (this.#encrypted && this.#connecting) return
    this.#ended = true
    if (this.#lingering) this.#closeReason = { kind: 'remote', details: '' }
    this.#closeReason ??= { kind: 'remote', details: '' }
    this.handler.onEnd()
  }

  #onClose(): void {
    // While a handshake is under way, who began it tells how it ended.
    if (this.closed || this.#upgrading) return
    this.closed = true
    this.#writer.closed = true
    this.#link.connection = undefined
    if (this.#timer !== undefined) this.#timers.stop(this.#timer)
    if (!this.#shares) spare(this.#buffer)
    this.handler.onClose(this.#closeReason ?? { kind: 'remote', details: '' })
  }
}

/** An error of the system. */
export function plainReason(error: NodeJS.ErrnoException, connecting: boolean): CloseReason {
  const details = `${connecting ? 'delayed_connect_error:_' : ''}${errorText(error)}`
  switch (error.code) {
    case 'ECONNREFUSED':
      return { kind: 'refused', details }
    case 'ECONNRESET':
    case 'EPIPE':
      return { kind: connecting ? 'refused' : 'reset', details }
    case 'ETIMEDOUT':
      return { kind: connecting ? 'connect_timeout' : 'reset', details }
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ENOENT':
    case 'EADDRNOTAVAIL':
      return { kind: 'unreachable', details }
    default:
      return { kind: 'error', details }
  }
}

/** An exception has been told. */
const OWN_BUG: CloseReason = Object.freeze({ kind: 'error', details: 'internal_error' })

/** The peer did not close in the time it was given. */
const DELAYED_CLOSE: CloseReason = Object.freeze({ kind: 'local', details: 'delayed_close_timeout' })

/** Takes the place of a handler whose connection is being closed: input is dropped, the close still reported. */
class Lingering implements ConnectionHandler {
  readonly #handler: ConnectionHandler
  constructor(handler: ConnectionHandler) {
    this.#handler = handler
  }
  onConnected(): void {}
  onData(): void {}
  onEnd(): void {}
  onBackpressure(): void {}
  onClose(reason: CloseReason): void {
    this.#handler.onClose(reason)
  }
}

/** The error's text with underscores for spaces, as Envoy puts it into response details. */
function errorText(error: NodeJS.ErrnoException): string {
  const texts: Record<string, string> = {
    ECONNREFUSED: 'Connection refused',
    ECONNRESET: 'Connection reset by peer',
    ETIMEDOUT: 'Connection timed out',
    EHOSTUNREACH: 'No route to host',
    ENETUNREACH: 'Network is unreachable',
    EPIPE: 'Broken pipe',
    ENOENT: 'No such file or directory',
    EADDRNOTAVAIL: 'Cannot assign requested address',
    EACCES: 'Permission denied',
    EMFILE: 'Too many open files',
  }
  return (texts[error.code ?? ''] ?? error.code ?? error.message).replaceAll(' ', '_')
}

/** An IPv4 end of an IPv6 socket, as itself. */
export function unmappedIp(ip: string): string {
  return ip.startsWith('::ffff:') ? ip.slice('::ffff:'.length) : ip
}

/** What every connecting socket is made with, plain or TLS. */
export function connectSettings(address: Address, options: ConnectOptions) {
  const pipe = address.ip.startsWith('/') || address.ip.startsWith('@')
  // `highWaterMark` is not in the type of the options, but they are handed to the stream as they are.
  const settings: net.NetConnectOpts & { highWaterMark: number } = {
    ...(pipe ? { path: address.ip.replace(/^@/, '\0') } : { host: address.ip, port: address.port }),
    ...(options.bindAddress && { localAddress: options.bindAddress.ip, localPort: options.bindAddress.port }),
    allowHalfOpen: true,
    noDelay: true,
    highWaterMark: options.bufferLimitBytes,
  }
  return settings
}
