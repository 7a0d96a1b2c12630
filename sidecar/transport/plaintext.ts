/**
 * Plaintext connections over `node:net`, read through buffers that are used again and again.
 *
 * Node normally allocates 64 KiB for every read; with `onread` the same buffer is read into until somebody who was lent
 * it could not write it on at once (see `connection.ts`). A connection starts with a small buffer, because most
 * connections idle most of the time; a read that fills it gets the next one large. test/bench/http1.bench.ts: large
 * bodies cost 0.65 of what they cost with Node's own buffers, small requests 0.9.
 *
 * `onread` exists for connecting sockets only. For accepted ones the kernel handle is wrapped here, before Node does it
 * ({@link listenPlaintext}); where a Node release no longer hands the handle over, the ordinary socket serves, with Node's
 * own buffers. test/unit/transport/plaintext.test.ts runs both ways.
 */
import net from 'node:net'
import type { Address } from '../base/address.ts'
import { Timer, type Timer as TimerHandle, type Timers } from '../base/timer-wheel.ts'
import type { TlsInfo } from '../observability/stream-info.ts'
import { type CloseReason, type Connection, type ConnectionHandler, heldWrites } from './connection.ts'
import { beginTurn, endTurn, flushLater } from './write-batch.ts'

/** What an idle connection keeps: enough for nearly every request head. */
const SMALL_READ = 4096
/** What a connection gets once a read has filled its buffer. Larger ones win nothing more (measured with 1 MiB bodies). */
const LARGE_READ = 256 * 1024
/** Buffers up to this size are copied behind what waits to be written; larger ones are written as they are. */
const MAX_COPIED_WRITE = 4096
/** Large buffers kept for the next connection that needs one: 16 are 4 MiB. */
const MAX_SPARE = 16
const spareLarge: Buffer[] = []
/** Small buffers of connections that closed: 256 are 1 MiB. A new one costs 2 µs, a tenth of accepting a connection. */
const MAX_SPARE_SMALL = 256
const spareSmall: Buffer[] = []

let nextConnectionId = 1

export interface ConnectOptions {
  readonly connectTimeoutMs: number
  /** High watermark of the write buffer (`per_connection_buffer_limit_bytes`). */
  readonly bufferLimitBytes: number
  readonly bindAddress?: Address | undefined
  readonly keepAlive?: { readonly idleMs: number } | undefined
}

class PlaintextConnection implements Connection {
  readonly id = nextConnectionId++
  handler: ConnectionHandler
  readonly tls: TlsInfo | undefined = undefined
  remote: Address
  bytesWritten = 0
  bytesRead = 0
  closed = false
  readonly #timers: Timers
  #socket!: net.Socket
  #buffer: Buffer
  #large = false
  /** Written in this turn and not yet handed to the socket (latin1). */
  #pending = ''
  #paused = 0
  #above = false
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
    this.#connecting = connecting
    this.#buffer = takeSmall()
  }

  /** Joins this connection with its socket, which must have been made with {@link onread}. */
  attach(socket: net.Socket): void {
    this.#socket = socket
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#onDrain())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#closeReason ??= this.#reasonOf(error)
    })
    socket.on('close', () => this.#onClose())
  }

  /** For an accepted socket that Node has already wrapped: no re-used buffers, everything else the same. */
  attachWrapped(socket: net.Socket): void {
    this.attach(socket)
    socket.on('data', chunk => this.#deliver(chunk as Buffer))
  }

  readonly onread = {
    buffer: (): Buffer => this.#buffer,
    callback: (size: number, buffer: Uint8Array): boolean => {
      const held = heldWrites.count
      this.#deliver(size === buffer.length ? (buffer as Buffer) : (buffer as Buffer).subarray(0, size))
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
      return true
    },
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
    if (!this.closed) this.handler.onConnected()
  }

  get local(): Address {
    this.#local ??= { ip: this.#socket.localAddress ?? '', port: this.#socket.localPort ?? 0 }
    return this.#local
  }
  set local(address: Address) {
    this.#local = address
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength + this.#pending.length
  }

  write(data: Buffer | string): void {
    if (this.closed || data.length === 0) return
    this.bytesWritten += data.length
    if (typeof data === 'string' || data.length <= MAX_COPIED_WRITE) {
      const text = typeof data === 'string' ? data : data.toString('latin1')
      if (this.#pending === '') {
        this.#pending = text
        flushLater(this)
      } else this.#pending += text
      return
    }
    const socket = this.#socket
    let flowing: boolean
    if (this.#pending === '') flowing = socket.write(data)
    else {
      socket.cork()
      socket.write(this.#pending, 'latin1')
      this.#pending = ''
      flowing = socket.write(data)
      socket.uncork()
    }
    this.#afterWrite(flowing)
  }

  /** Hands what this turn wrote to the socket. Called by the write batch. */
  flush(): void {
    const text = this.#pending
    if (text === '' || this.closed) return
    this.#pending = ''
    this.#afterWrite(this.#socket.write(text, 'latin1'))
  }

  pauseReading(): void {
    if (this.#paused++ === 0 && !this.closed) this.#socket.pause()
  }

  resumeReading(): void {
    if (--this.#paused === 0 && !this.closed) this.#socket.resume()
  }

  closeAfterFlush(delayedCloseMs: number): void {
    if (this.closed) return
    this.flush()
    this.#closeReason ??= { kind: 'local', details: '' }
    const socket = this.#socket
    if (this.#ended || delayedCloseMs === 0) {
      socket.end(() => socket.destroy())
      return
    }
    socket.end()
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
    if (how === 'reset') this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  #deliver(chunk: Buffer): void {
    this.bytesRead += chunk.length
    if (this.closed) return
    beginTurn()
    try {
      this.handler.onData(chunk)
    } finally {
      endTurn()
    }
  }

  #afterWrite(flowing: boolean): void {
    if (this.#socket.writableLength === 0) return
    heldWrites.count++
    if (flowing || this.#above) return
    this.#above = true
    this.handler.onBackpressure(true)
  }

  #onDrain(): void {
    if (!this.#above || this.closed) return
    this.#above = false
    this.handler.onBackpressure(false)
  }

  #onEnd(): void {
    this.#ended = true
    if (this.#lingering) this.#closeReason = { kind: 'remote', details: '' }
    this.#closeReason ??= { kind: 'remote', details: '' }
    this.handler.onEnd()
  }

  #onClose(): void {
    if (this.closed) return
    this.closed = true
    if (this.#timer !== undefined) this.#timers.stop(this.#timer)
    spare(this.#buffer)
    this.handler.onClose(this.#closeReason ?? { kind: 'remote', details: '' })
  }

  #reasonOf(error: NodeJS.ErrnoException): CloseReason {
    const details = `${this.#connecting ? 'delayed_connect_error:_' : ''}${errorText(error)}`
    switch (error.code) {
      case 'ECONNREFUSED':
        return { kind: 'refused', details }
      case 'ECONNRESET':
      case 'EPIPE':
        return { kind: this.#connecting ? 'refused' : 'reset', details }
      case 'ETIMEDOUT':
        return { kind: this.#connecting ? 'connect_timeout' : 'reset', details }
      case 'EHOSTUNREACH':
      case 'ENETUNREACH':
      case 'ENOENT':
      case 'EADDRNOTAVAIL':
        return { kind: 'unreachable', details }
      default:
        return { kind: 'error', details }
    }
  }
}

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

function takeLarge(): Buffer {
  return spareLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_READ)
}

function takeSmall(): Buffer {
  return spareSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_READ)
}

function spare(buffer: Buffer): void {
  if (buffer.length === LARGE_READ) {
    if (spareLarge.length < MAX_SPARE) spareLarge.push(buffer)
  } else if (spareSmall.length < MAX_SPARE_SMALL) spareSmall.push(buffer)
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

/** Begins to connect; `handler.onConnected` or `handler.onClose` tells how it went. */
export function connectPlaintext(
  address: Address,
  options: ConnectOptions,
  handler: ConnectionHandler,
  timers: Timers,
): Connection {
  const connection = new PlaintextConnection(address, handler, timers, true)
  const pipe = address.ip.startsWith('/') || address.ip.startsWith('@')
  // `highWaterMark` is not in the type of the options, but they are handed to the stream as they are.
  const settings: net.NetConnectOpts & { highWaterMark: number } = {
    ...(pipe ? { path: address.ip.replace(/^@/, '\0') } : { host: address.ip, port: address.port }),
    ...(options.bindAddress && { localAddress: options.bindAddress.ip, localPort: options.bindAddress.port }),
    ...(options.keepAlive && { keepAlive: true, keepAliveInitialDelay: options.keepAlive.idleMs }),
    allowHalfOpen: true,
    noDelay: true,
    highWaterMark: options.bufferLimitBytes,
    onread: connection.onread,
  }
  const socket = net.connect(settings)
  connection.attach(socket)
  connection.armConnectTimeout(options.connectTimeoutMs)
  socket.on('connect', () => connection.onConnected())
  return connection
}

export interface ListenOptions {
  readonly address: Address
  readonly backlog: number
  readonly reusePort: boolean
  readonly bufferLimitBytes: number
  /** Called for each accepted connection; returns who handles it, or undefined to refuse it. */
  readonly accept: (connection: Connection) => ConnectionHandler | undefined
}

/** A bound socket. `close` stops accepting; connections that were accepted go on. */
export interface PlaintextListener {
  readonly address: Address
  close(): Promise<void>
}

/** The handle of an accepted connection, as far as we use it. */
interface ServerHandle {
  onconnection: (status: number, handle: unknown) => void
}

/** Binds and listens; rejects with the system's error when the address cannot be had. */
export function listenPlaintext(
  options: ListenOptions,
  timers: Timers,
  wrapHandles = true,
): Promise<PlaintextListener> {
  const server = net.createServer({
    allowHalfOpen: true,
    noDelay: true,
    highWaterMark: options.bufferLimitBytes,
  })
  const open = new Connecting()
  /** Where the socket is bound to one address, connections have it too: a system call less for each. */
  let local: Address | undefined
  const adopt = (connection: PlaintextConnection, socket: net.Socket): void => {
    if (local !== undefined) connection.local = local
    connection.remote = { ip: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
    const handler = options.accept(connection)
    if (handler === undefined) {
      connection.close('reset')
      return
    }
    connection.handler = handler
  }
  server.on('connection', socket => {
    const connection = new PlaintextConnection({ ip: '', port: 0 }, open, timers, false)
    connection.attachWrapped(socket)
    adopt(connection, socket)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(
      {
        ...(options.address.ip.startsWith('/')
          ? { path: options.address.ip }
          : { host: options.address.ip, port: options.address.port }),
        backlog: options.backlog,
        reusePort: options.reusePort,
      },
      () => {
        server.off('error', reject)
        const handle = (server as unknown as { _handle?: ServerHandle })._handle
        if (wrapHandles && typeof handle?.onconnection === 'function') {
          const ordinary = handle.onconnection
          handle.onconnection = function (status, accepted) {
            if (status !== 0 || accepted === undefined) {
              ordinary.call(this, status, accepted)
              return
            }
            const connection = new PlaintextConnection({ ip: '', port: 0 }, open, timers, false)
            const socket = new net.Socket({
              handle: accepted,
              allowHalfOpen: true,
              readable: true,
              writable: true,
              highWaterMark: options.bufferLimitBytes,
              onread: connection.onread,
            } as unknown as net.SocketConstructorOpts)
            socket.setNoDelay(true)
            connection.attach(socket)
            adopt(connection, socket)
          }
        }
        const bound = server.address()
        const address =
          bound === null || typeof bound === 'string' ? options.address : { ip: bound.address, port: bound.port }
        if (typeof bound === 'object' && address.ip !== '0.0.0.0' && address.ip !== '::') local = address
        resolve({
          address,
          close: () => new Promise(done => server.close(() => done())),
        })
      },
    )
  })
}

/** Stands in until the accepting side has said who handles the connection; nothing can arrive before that. */
class Connecting implements ConnectionHandler {
  onConnected(): void {}
  onData(): void {}
  onEnd(): void {}
  onBackpressure(): void {}
  onClose(): void {}
}
