/** What `TcpKeepalive` makes of a socket, as the kernel tells it. */
import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { after, test } from 'node:test'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import type { TcpKeepalive as TcpKeepaliveMessage } from '../../../sidecar/config/schema/generated/types.ts'
import type { Connection, ConnectionHandler } from '../../../sidecar/transport/connection.ts'
import { connectPlaintext, listenPlaintext } from '../../../sidecar/transport/plaintext.ts'
import { type TcpKeepalive, tcpKeepalive } from '../../../sidecar/transport/tcp-keepalive.ts'
import { waitFor } from '../../kit/wait-for.ts'

const timers = new TimerWheel(systemClock)
after(() => timers.close())

const IPPROTO_TCP = 6
const SOL_SOCKET = 1
const OPTIONS = {
  on: [SOL_SOCKET, 9],
  idle: [IPPROTO_TCP, 4],
  interval: [IPPROTO_TCP, 5],
  probes: [IPPROTO_TCP, 6],
} as const

/** [on, idle seconds, interval seconds, probes] of every TCP socket of this process that has been told to probe. */
async function probing(): Promise<number[][]> {
  const { dlopen } = await import('node:ffi')
  const { functions } = dlopen('libc.so.6', {
    getsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'], return: 'i32' },
  })
  const found: number[][] = []
  for (const fd of readdirSync('/proc/self/fd')) {
    let target = ''
    try {
      target = readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      continue
    }
    if (!target.startsWith('socket:')) continue
    const values = Object.values(OPTIONS).map(([level, name]) => {
      const value = Buffer.alloc(4)
      const length = Buffer.from([4, 0, 0, 0])
      return functions.getsockopt(Number(fd), level, name, value, length) === 0 ? value.readInt32LE() : -1
    })
    if (values[0] === 1) found.push(values)
  }
  return found
}

class Quiet implements ConnectionHandler {
  readonly connected = Promise.withResolvers<void>()
  onConnected(): void {
    this.connected.resolve()
  }
  onData(): void {}
  onEnd(): void {}
  onBackpressure(): void {}
  onClose(): void {}
}

function settings(yaml: string): TcpKeepalive | undefined {
  const decoded = decodeResource('envoy.config.core.v3.TcpKeepalive', yaml, { source: 'test' })
  return tcpKeepalive(decoded.value as unknown as TcpKeepaliveMessage)
}

test('a 0 anywhere switches it off, and what is missing is as Linux has it', () => {
  assert.equal(tcpKeepalive(undefined), undefined)
  assert.deepEqual(settings('{}'), { idleMs: 7_200_000, intervalMs: 75_000, probes: 9 })
  for (const field of ['keepalive_time', 'keepalive_interval', 'keepalive_probes']) {
    assert.equal(settings(`{${field}: 0}`), undefined, field)
  }
})

test('idle time, interval and number of probes reach the kernel, at both ends', {
  skip: process.platform !== 'linux',
}, async t => {
  let accepted: Connection | undefined
  const listener = await listenPlaintext(
    {
      address: { ip: '127.0.0.1', port: 0 },
      backlog: 8,
      reusePort: false,
      bufferLimitBytes: 1000,
      keepAlive: () => settings('{keepalive_time: 11, keepalive_interval: 12, keepalive_probes: 13}'),
      accept: connection => {
        connection.handler = new Quiet()
        accepted = connection
        return true
      },
    },
    timers,
  )
  const handler = new Quiet()
  const keepAlive = settings('{keepalive_time: 21, keepalive_interval: 22, keepalive_probes: 23}')
  const options = { connectTimeoutMs: 2000, bufferLimitBytes: 1000, alpn: [], keepAlive }
  const connection = connectPlaintext(listener.address, options, handler, timers)
  t.after(async () => {
    connection.close()
    accepted?.close()
    await listener.close()
  })
  await handler.connected.promise
  await waitFor(() => accepted)
  const found = await probing()
  assert.deepEqual(
    found.find(([, idle]) => idle === 21),
    [1, 21, 22, 23],
  )
  assert.deepEqual(
    found.find(([, idle]) => idle === 11),
    [1, 11, 12, 13],
  )
})
