/** Reads under TLS go into buffers that are used again: what is delivered is whole and in order all the same. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls from 'node:tls'
import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { heldWrites } from '../../../sidecar/transport/connection.ts'
import { readInto } from '../../../sidecar/transport/read-into.ts'
import type { SocketConnection } from '../../../sidecar/transport/socket-connection.ts'
import { connected } from '../../kit/connected.ts'
import { waitFor } from '../../kit/wait-for.ts'

const timers = new TimerWheel(systemClock)
after(() => timers.close())
const { chain, key } = new CertificateAuthority().issue({ dns: ['a.test'] })

/** A peer that writes `parts`, and who reads them: `onData` sees each chunk while it is lent. */
async function read(parts: readonly Buffer[], onData: (chunk: Buffer, connection: SocketConnection) => void) {
  const server = tls.createServer({ cert: chain, key }, async socket => {
    socket.on('error', () => {})
    for (const part of parts) {
      socket.write(part)
      // Small ones by themselves, so that they are records of their own.
      if (part.length < 1000) await new Promise(setImmediate)
    }
    socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const ended = Promise.withResolvers<void>()
  const handler = {
    onConnected() {},
    onData: (chunk: Buffer) => onData(chunk, connection),
    onEnd: () => ended.resolve(),
    onBackpressure() {},
    onClose() {},
  }
  const connection = await connected((server.address() as AddressInfo).port, handler, timers)
  await ended.promise
  connection.close()
  server.close()
  return connection
}

const PARTS = [1, 20, 4096, 4097, 3, 16_384, 16_385, 7, 300_000, 20, 20, 70_000, 5, 1_000_000, 9].map((size, i) =>
  Buffer.alloc(size, i + 1),
)
const WHOLE = createHash('sha256').update(Buffer.concat(PARTS)).digest('hex')

test('this Node reads from a TLS socket into a buffer of ours', async () => {
  const server = tls.createServer({ cert: chain, key }, socket => void socket.on('error', () => {}).write('hello'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = tls.connect({ port: (server.address() as AddressInfo).port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const buffer = Buffer.alloc(100)
  let read = ''
  const callback = (size: number, into: Uint8Array) => {
    read += Buffer.from(into.subarray(0, size)).toString()
    return true
  }
  assert.equal(readInto(socket as Socket, { buffer: () => buffer, callback }), true)
  await waitFor(() => read === 'hello')
  assert.equal(buffer.toString('latin1', 0, 5), 'hello')
  socket.destroy()
  server.close()
})

test('all sizes come whole, whether they share a buffer or have one', async () => {
  const hash = createHash('sha256')
  const homes = new Set<ArrayBufferLike>()
  const connection = await read(PARTS, chunk => {
    hash.update(chunk)
    homes.add(chunk.buffer)
  })
  assert.equal(hash.digest('hex'), WHOLE)
  assert.equal(connection.bytesRead, Buffer.concat(PARTS).length)
  assert.ok(homes.size < 20, `${homes.size} buffers for a hundred records`)
})

test('what comes while reading is paused waits, in order', async () => {
  const hash = createHash('sha256')
  let paused = false
  let chunks = 0
  await read(PARTS, (chunk, connection) => {
    assert.equal(paused, false)
    hash.update(chunk)
    if (++chunks % 3 !== 0) return
    paused = true
    connection.pauseReading()
    void delay(2).then(() => {
      paused = false
      connection.resumeReading()
    })
  })
  assert.equal(hash.digest('hex'), WHOLE)
})

test('a large chunk that somebody holds is not read into again', async () => {
  const held: Buffer[] = []
  await read(PARTS, chunk => {
    // As a writer does that cannot write at once: small chunks are copied, large ones kept.
    if (chunk.length <= 4096) held.push(Buffer.from(chunk))
    else {
      held.push(chunk)
      heldWrites.count++
    }
  })
  assert.equal(createHash('sha256').update(Buffer.concat(held)).digest('hex'), WHOLE)
})

test('of two connections that share a buffer each gets its own', async () => {
  const got = ['', '']
  const words = [0, 1].map(n => Array.from({ length: 50 }, (_, i) => Buffer.from(`${n}:${i};`)))
  await Promise.all(
    words.map((parts, n) =>
      read(parts, chunk => {
        got[n] += chunk.toString()
      }),
    ),
  )
  assert.deepEqual(
    got,
    words.map(parts => Buffer.concat(parts).toString()),
  )
})
