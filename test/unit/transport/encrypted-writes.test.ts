/** Writes under TLS: whatever their sizes and however slow the peer, bytes come whole, in order, and from their first home. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import tls from 'node:tls'
import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { type Connection, heldWrites } from '../../../sidecar/transport/connection.ts'
import { connectSettings, plainReason, SocketConnection } from '../../../sidecar/transport/socket-connection.ts'
import { waitFor } from '../../kit/wait-for.ts'

const timers = new TimerWheel(systemClock)
after(() => timers.close())
const { chain, key } = new CertificateAuthority().issue({ dns: ['a.test'] })

/** What a connection wrote, from one buffer that is used again as soon as it may be, and what its peer read. */
async function exchange(sizes: readonly number[], slow: boolean): Promise<{ sent: string; got: string; held: number }> {
  const got = createHash('sha256')
  let received = 0
  const server = tls.createServer({ cert: chain, key }, socket => {
    socket.on('error', () => {})
    socket.on('data', chunk => {
      got.update(chunk)
      received += chunk.length
      if (!slow) return
      socket.pause()
      setTimeout(() => socket.resume(), 1)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = { ip: '127.0.0.1', port: (server.address() as AddressInfo).port }
  const handler = { onConnected() {}, onData() {}, onEnd() {}, onBackpressure() {}, onClose() {} }
  const connection: Connection & SocketConnection = new SocketConnection(address, handler, timers, true)
  const settings = connectSettings(address, { connectTimeoutMs: 5000, bufferLimitBytes: 65_536 })
  const socket = tls.connect({ ...settings, rejectUnauthorized: false } as tls.ConnectionOptions)
  connection.attachEncrypted(socket, plainReason)
  await once(socket, 'secureConnect')
  connection.onConnected()
  const sent = createHash('sha256')
  let total = 0
  let lent = Buffer.alloc(600_000)
  const before = heldWrites.count
  for (const [i, size] of sizes.entries()) {
    const held = heldWrites.count
    const bytes = lent.subarray(0, size).fill(i % 251)
    // Small strings between them, as heads are.
    const head = i % 3 === 0 ? `head ${i}\r\n` : ''
    if (head !== '') connection.write(head)
    connection.write(bytes)
    sent.update(head, 'latin1').update(bytes)
    total += head.length + size
    if (heldWrites.count === held) bytes.fill(255)
    else lent = Buffer.alloc(600_000)
    if (i % 4 === 0) await turn()
  }
  await waitFor(() => received === total, { what: `${total} bytes`, deadlineMs: 20_000 })
  connection.close()
  server.close()
  return { sent: sent.digest('hex'), got: got.digest('hex'), held: heldWrites.count - before }
}

for (const slow of [false, true]) {
  test(`every size comes whole to a ${slow ? 'slow' : 'quick'} peer`, async () => {
    const sizes = [
      1, 4096, 4097, 16_384, 65_536, 262_143, 262_144, 262_145, 278_528, 600_000, 5, 200_000, 30_000, 262_144,
    ]
    const { sent, got } = await exchange([...sizes, ...sizes.toReversed(), ...sizes], slow)
    assert.equal(got, sent)
  })
}

test('a buffer of the size that is read into never has to wait: its reader keeps it', async () => {
  const { sent, got, held } = await exchange(
    Array.from({ length: 24 }, () => 256 * 1024),
    true,
  )
  assert.equal(got, sent)
  assert.equal(held, 0)
})
