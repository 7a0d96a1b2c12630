/** Writes, plain and under TLS: whatever their sizes and however slow the peer, bytes come whole, in order, and from their first home. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import tls from 'node:tls'
import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { type CloseReason, heldWrites } from '../../../sidecar/transport/connection.ts'
import { connected } from '../../kit/connected.ts'
import { waitFor } from '../../kit/wait-for.ts'

const timers = new TimerWheel(systemClock)
after(() => timers.close())
const { chain, key } = new CertificateAuthority().issue({ dns: ['a.test'] })

interface Peer {
  readonly encrypted: boolean
  readonly slow: boolean
}

/** A connection and what its peer has read of it so far. */
async function connect({ encrypted, slow }: Peer) {
  const hash = createHash('sha256')
  const got = { received: 0, ended: false, hash }
  const onPeer = (socket: net.Socket) => {
    socket.on('error', () => {})
    socket.on('end', () => {
      got.ended = true
      socket.end()
    })
    socket.on('data', chunk => {
      hash.update(chunk)
      got.received += chunk.length
      if (!slow) return
      socket.pause()
      setTimeout(() => socket.resume(), 1)
    })
  }
  const server = encrypted ? tls.createServer({ cert: chain, key }, onPeer) : net.createServer(onPeer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const marks: boolean[] = []
  const closes: CloseReason[] = []
  const closed = Promise.withResolvers<void>()
  const handler = {
    onConnected() {},
    onData() {},
    onEnd() {},
    onBackpressure: (above: boolean) => void marks.push(above),
    onClose: (reason: CloseReason) => {
      closes.push(reason)
      closed.resolve()
    },
  }
  const { port } = server.address() as AddressInfo
  const connection = await connected(port, handler, timers, { encrypted })
  return { connection, got, marks, closes, closed: closed.promise, stop: () => server.close() }
}

/** What a connection wrote, from one buffer that is used again as soon as it may be, and what its peer read. */
async function exchange(sizes: readonly number[], peer: Peer) {
  const { connection, got, marks, closed, stop } = await connect(peer)
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
  connection.closeAfterFlush(20_000)
  await closed
  stop()
  assert.equal(got.received, total)
  assert.equal(connection.bytesWritten, total)
  for (const [i, above] of marks.entries()) assert.equal(above, i % 2 === 0, 'above, below, above, …')
  return { sent: sent.digest('hex'), got: got.hash.digest('hex'), held: heldWrites.count - before }
}

const PEERS = [true, false].flatMap(encrypted => [false, true].map(slow => ({ encrypted, slow })))

for (const peer of PEERS) {
  const name = `${peer.encrypted ? 'TLS' : 'plain'}, a ${peer.slow ? 'slow' : 'quick'} peer`

  test(`${name}: every size comes whole, the end last`, async () => {
    const sizes = [
      1, 4096, 4097, 16_384, 65_536, 262_143, 262_144, 262_145, 278_528, 600_000, 5, 200_000, 30_000, 262_144,
    ]
    const { sent, got } = await exchange([...sizes, ...sizes.toReversed(), ...sizes], peer)
    assert.equal(got, sent)
  })

  test(`${name}: what is written while a write is under way follows it, small or large`, async () => {
    const { connection, got, closed, stop } = await connect(peer)
    const sent = createHash('sha256')
    const write = (size: number) => {
      const text = `${size}:`.padEnd(size, 'x')
      sent.update(text, 'latin1')
      connection.write(size > 4096 ? Buffer.from(text) : text)
    }
    for (let i = 0; i < 300; i++) {
      // Each in a microtask of its own: the one before it is with the kernel, or with OpenSSL, by then.
      write(10 + i)
      await undefined
      if (i % 7 === 0) write(5000 + i)
      if (i % 11 === 0) await undefined
      if (i % 50 === 0) write(300_000)
      write(20)
      if (i % 13 === 0) await turn()
    }
    connection.closeAfterFlush(20_000)
    await closed
    stop()
    assert.equal(got.hash.digest('hex'), sent.digest('hex'))
    assert.ok(got.ended)
  })

  test(`${name}: strings alone rise above the mark, and fall below it again`, async () => {
    const { connection, got, marks, stop } = await connect(peer)
    let total = 0
    while (marks.length === 0 && total < 64_000_000) {
      connection.write('y'.repeat(4000))
      total += 4000
      await undefined
    }
    assert.deepEqual(marks, [true])
    assert.ok(connection.bufferedBytes > 0)
    await waitFor(() => marks.length === 2, { what: 'below the mark', deadlineMs: 20_000 })
    await waitFor(() => got.received === total, { what: `${total} bytes`, deadlineMs: 20_000 })
    assert.deepEqual(marks, [true, false])
    assert.equal(connection.bufferedBytes, 0)
    connection.close()
    stop()
  })

  test(`${name}: a connection that is closed in the middle of a write is closed once, and takes no more`, async () => {
    const { connection, closes, closed, stop } = await connect(peer)
    for (let i = 0; i < 50; i++) {
      connection.write('z'.repeat(4000))
      connection.write(Buffer.alloc(100_000, 'z'))
      await undefined
    }
    connection.closeAfterFlush(20_000)
    connection.close()
    connection.write('late')
    await closed
    const { bytesWritten } = connection
    connection.write('later')
    await turn()
    stop()
    assert.equal(connection.bytesWritten, bytesWritten)
    assert.deepEqual(closes, [{ kind: 'local', details: '' }])
  })
}

test('TLS: a buffer of the size that is read into never has to wait: its reader keeps it', async () => {
  const sizes = Array.from({ length: 24 }, () => 256 * 1024)
  const { sent, got, held } = await exchange(sizes, { encrypted: true, slow: true })
  assert.equal(got, sent)
  assert.equal(held, 0)
})
