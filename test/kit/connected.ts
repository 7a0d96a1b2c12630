/** A connection of ours to a server of the test, standing: below the codecs, where only sockets are. */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import type { Timers } from '../../sidecar/base/timer-wheel.ts'
import type { ConnectionHandler } from '../../sidecar/transport/connection.ts'
import { connectSettings, plainReason, SocketConnection } from '../../sidecar/transport/socket-connection.ts'

/** Whoever is on the other side is believed. */
export async function connected(
  port: number,
  handler: ConnectionHandler,
  timers: Timers,
  { encrypted = true } = {},
): Promise<SocketConnection> {
  const address = { ip: '127.0.0.1', port }
  const connection = new SocketConnection(address, handler, timers, true)
  const settings = connectSettings(address, { connectTimeoutMs: 5000, bufferLimitBytes: 65_536 })
  if (encrypted) {
    const socket = tls.connect({ ...settings, rejectUnauthorized: false } as tls.ConnectionOptions)
    connection.attachEncrypted(socket, plainReason)
    await once(socket, 'secureConnect')
  } else {
    const socket = net.connect({ ...settings, onread: connection.onread } as net.NetConnectOpts)
    connection.attach(socket)
    await once(socket, 'connect')
  }
  connection.onConnected()
  return connection
}
