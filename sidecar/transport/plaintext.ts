/**
 * Plaintext connections over `node:net`.
 *
 * `onread`, which lets a connection read into buffers of its own, exists for connecting sockets only. For accepted ones
 * the kernel handle is wrapped here, before Node does it ({@link listenPlaintext}); where a Node release no longer hands
 * the handle over, the ordinary socket serves, with Node's own buffers. test/unit/transport/plaintext.test.ts runs both
 * ways.
 */
import net from 'node:net'
import { type Address, addressText } from '../base/address.ts'
import { ownBug } from '../base/own-bug.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import { type ConnectOptions, connectSettings, SocketConnection, unmappedIp } from './socket-connection.ts'
import { keepAlive, type TcpKeepalive } from './tcp-keepalive.ts'

/** Begins to connect; `handler.onConnected` or `handler.onClose` tells how it went. */
export function connectPlaintext(
  address: Address,
  options: ConnectOptions,
  handler: ConnectionHandler,
  timers: Timers,
): Connection {
  const connection = new SocketConnection(address, handler, timers, true)
  const socket = net.connect({ ...connectSettings(address, options), onread: connection.onread } as net.NetConnectOpts)
  connection.attach(socket)
  connection.armConnectTimeout(options.connectTimeoutMs)
  socket.once('connect', () => {
    keepAlive(socket, options.keepAlive)
    connection.onConnected()
  })
  return connection
}

export interface ListenOptions {
  readonly address: Address
  readonly backlog: number
  readonly reusePort: boolean
  /** An IPv6 socket leaves IPv4 to others; the default of Node, unlike Envoy's, is to take both. */
  readonly ipv6Only?: boolean
  readonly bufferLimitBytes: number
  /** Called for each accepted connection; gives it a handler, or returns false to refuse it. */
  readonly accept: (connection: SocketConnection) => boolean
  /** Asked for each accepted connection, since a listener with other settings may take over the socket. */
  readonly keepAlive?: () => TcpKeepalive | undefined
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
  const adopt = (connection: SocketConnection, socket: net.Socket): void => {
    if (local !== undefined) connection.local = local
    connection.remote = { ip: unmappedIp(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 }
    keepAlive(socket, options.keepAlive?.())
    try {
      if (!options.accept(connection)) connection.close('reset')
    } catch (error) {
      ownBug(error, `accepting ${addressText(connection.remote)}`)
      connection.close('reset')
    }
  }
  server.on('connection', socket => {
    const connection = new SocketConnection({ ip: '', port: 0 }, open, timers, false)
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
        ipv6Only: options.ipv6Only === true && options.address.ip.includes(':'),
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
            const connection = new SocketConnection({ ip: '', port: 0 }, open, timers, false)
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
