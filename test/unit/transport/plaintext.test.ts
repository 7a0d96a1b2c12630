import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { after, describe, test } from 'node:test'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../../../sidecar/transport/connection.ts'
import { connectPlaintext, listenPlaintext } from '../../../sidecar/transport/plaintext.ts'
import { waitFor } from '../../kit/wait-for.ts'

const timers = new TimerWheel(systemClock)
after(() => timers.close())

class Recorder implements ConnectionHandler {
  bytes: Buffer[] = []
  events: string[] = []
  closed = Promise.withResolvers<CloseReason>()
  connected = Promise.withResolvers<void>()
  ended = Promise.withResolvers<void>()
  onBytes: ((chunk: Buffer) => void) | undefined
  onConnected(): void {
    this.connected.resolve()
  }
  onData(chunk: Buffer): void {
    this.bytes.push(Buffer.from(chunk))
    this.onBytes?.(chunk)
  }
  onEnd(): void {
    this.ended.resolve()
  }
  onBackpressure(above: boolean): void {
    this.events.push(above ? 'above' : 'below')
  }
  onClose(reason: CloseReason): void {
    this.closed.resolve(reason)
  }
  get text(): string {
    return Buffer.concat(this.bytes).toString('latin1')
  }
}

const options = { connectTimeoutMs: 2000, bufferLimitBytes: 1 << 20 }

for (const wrapHandles of [true, false]) {
  describe(
    wrapHandles ? 'accepted connections with re-used buffers' : 'accepted connections as Node wraps them',
    () => {
      async function echoServer(bufferLimitBytes = 1 << 20) {
        const accepted: { connection: Connection; recorder: Recorder }[] = []
        const listener = await listenPlaintext(
          {
            address: { ip: '127.0.0.1', port: 0 },
            backlog: 128,
            reusePort: false,
            bufferLimitBytes,
            accept: connection => {
              const recorder = new Recorder()
              recorder.onBytes = chunk => connection.write(chunk)
              accepted.push({ connection, recorder })
              connection.handler = recorder
              return true
            },
          },
          timers,
          wrapHandles,
        )
        /** Ends everything: nobody here answers a FIN by itself. */
        const stop = async (client: net.Socket) => {
          client.destroy()
          for (const { connection } of accepted) connection.close()
          await listener.close()
        }
        return { listener, accepted, stop }
      }

      test('bytes go through unchanged, whatever their size', async () => {
        const { listener, accepted, stop } = await echoServer()
        const client = net.connect(listener.address.port, '127.0.0.1')
        const sent = Buffer.alloc(3_000_000, 0)
        for (let i = 0; i < sent.length; i++) sent[i] = (i * 31) & 255
        const received: Buffer[] = []
        client.on('data', chunk => received.push(chunk as Buffer))
        for (let at = 0; at < sent.length; ) {
          const size = 1 + ((at * 7919) % 200_000)
          client.write(sent.subarray(at, at + size))
          at += size
          await new Promise(resolve => setImmediate(resolve))
        }
        while (received.reduce((sum, part) => sum + part.length, 0) < sent.length) await once(client, 'data')
        assert.ok(Buffer.concat(received).equals(sent))
        assert.equal(accepted[0]!.connection.bytesRead, sent.length)
        assert.equal(accepted[0]!.connection.remote.port, client.localPort)
        await stop(client)
      })

      test('what is lent and could not be written at once is not overwritten by the next read', async () => {
        const { listener, accepted, stop } = await echoServer()
        const client = net.connect(listener.address.port, '127.0.0.1')
        await once(client, 'connect')
        // The echo backs up: nothing is read at this end while 8 MB are sent.
        client.pause()
        const sent = Buffer.alloc(8_000_000)
        for (let i = 0; i < sent.length; i++) sent[i] = (i / 251) & 255
        client.write(sent)
        await waitFor(() => accepted[0] !== undefined && accepted[0].connection.bufferedBytes > 0, {
          what: 'the echo to back up',
        })
        const received: Buffer[] = []
        client.on('data', chunk => received.push(chunk as Buffer))
        client.resume()
        while (received.reduce((sum, part) => sum + part.length, 0) < sent.length) await once(client, 'data')
        assert.ok(Buffer.concat(received).equals(sent))
        await stop(client)
      })

      test('the high watermark is reported once, and once more when the buffer has drained', async () => {
        const { listener, accepted, stop } = await echoServer(64 * 1024)
        const client = net.connect(listener.address.port, '127.0.0.1')
        client.pause()
        client.write(Buffer.alloc(8_000_000))
        const events = () => accepted[0]?.recorder.events ?? []
        await waitFor(() => events().length > 0)
        client.resume()
        await waitFor(() => events().length > 1)
        assert.deepEqual(events(), ['above', 'below'])
        await stop(client)
      })

      test('a paused connection delivers nothing; two pauses need two resumes', async () => {
        const { listener, accepted, stop } = await echoServer()
        const client = net.connect(listener.address.port, '127.0.0.1')
        client.write('a')
        await once(client, 'data')
        const { connection, recorder } = accepted[0]!
        connection.pauseReading()
        connection.pauseReading()
        client.write('b')
        await new Promise(resolve => setTimeout(resolve, 30))
        connection.resumeReading()
        await new Promise(resolve => setTimeout(resolve, 30))
        assert.equal(recorder.text, 'a')
        connection.resumeReading()
        await once(client, 'data')
        assert.equal(recorder.text, 'ab')
        await stop(client)
      })

      test('FIN from the peer is reported as the end, and the connection can still be written to', async () => {
        const { listener, accepted, stop } = await echoServer()
        const client = net.connect({ port: listener.address.port, host: '127.0.0.1', allowHalfOpen: true })
        client.write('x')
        await once(client, 'data')
        client.end()
        await accepted[0]!.recorder.ended.promise
        accepted[0]!.connection.write('late')
        const [chunk] = await once(client, 'data')
        assert.equal(String(chunk), 'late')
        accepted[0]!.connection.closeAfterFlush(0)
        await once(client, 'end')
        assert.equal((await accepted[0]!.recorder.closed.promise).kind, 'remote')
        await stop(client)
      })

      test('closeAfterFlush delivers everything and lingers until the peer has closed', async () => {
        const { listener, accepted, stop } = await echoServer()
        const client = net.connect(listener.address.port, '127.0.0.1')
        client.write('x')
        await once(client, 'data')
        const { connection, recorder } = accepted[0]!
        connection.write(Buffer.alloc(300_000, 'y'))
        connection.closeAfterFlush(1000)
        client.write('more that nobody will read')
        let size = 0
        client.on('data', chunk => {
          size += chunk.length
        })
        await once(client, 'end')
        assert.equal(size, 300_000)
        await recorder.closed.promise
        assert.equal(recorder.text, 'x')
        await stop(client)
      })

      for (const [what, size] of [
        ['a write that the kernel takes at once', 1],
        ['more than the kernel takes', 30_000_000],
      ] as const) {
        test(`closeAfterFlush without a delay delivers everything and waits for nobody: ${what}`, async () => {
          const { listener, accepted, stop } = await echoServer()
          const client = net.connect({ port: listener.address.port, host: '127.0.0.1', allowHalfOpen: true })
          client.write('x')
          await once(client, 'data')
          const { connection, recorder } = accepted[0]!
          connection.write(Buffer.alloc(size, 'y'))
          connection.closeAfterFlush(0)
          let received = 0
          client.on('data', chunk => {
            received += chunk.length
          })
          await once(client, 'end')
          assert.equal(received, size)
          // The client's own half is still open.
          assert.deepEqual(await recorder.closed.promise, { kind: 'local', details: '' })
          await stop(client)
        })
      }

      test('close with reset is seen as ECONNRESET by the peer', async () => {
        const { listener, accepted, stop } = await echoServer()
        const client = net.connect(listener.address.port, '127.0.0.1')
        client.write('x')
        await once(client, 'data')
        accepted[0]!.connection.close('reset')
        const [error] = await once(client, 'error')
        assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET')
        await stop(client)
      })
    },
  )
}

describe('connecting', () => {
  test('a refused connection closes with the reason and Envoy words for it', async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    server.close()
    await once(server, 'close')
    const recorder = new Recorder()
    connectPlaintext({ ip: '127.0.0.1', port }, options, recorder, timers)
    const reason = await recorder.closed.promise
    assert.deepEqual(reason, { kind: 'refused', details: 'delayed_connect_error:_Connection_refused' })
  })

  test('a connection that does not come to stand is given up after the timeout', async () => {
    // A listener whose accept queue is full answers no SYN: the queue is filled first.
    const server = net.createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 })
    await once(server, 'listening')
    const handle = (server as unknown as { _handle: { onconnection: () => void } })._handle
    assert.ok(handle)
    const { port } = server.address() as net.AddressInfo
    // Without a reader of the accept queue nothing leaves it: the event loop of this process is the reader, so the
    // queue lives in another process that sleeps.
    server.close()
    const { spawn } = await import('node:child_process')
    const sleeper = `const s=require('node:net').createServer().listen({port:${port},host:'127.0.0.1',backlog:1},()=>{require('node:fs').writeSync(1,'up');Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0,60000)})`
    const child = spawn(process.execPath, ['-e', sleeper])
    await once(child.stdout, 'data')
    // The kernel keeps one more than the backlog; those after them wait as we shall.
    let queued = 0
    const fillers = Array.from({ length: 4 }, () =>
      net.connect(port, '127.0.0.1', () => queued++).on('error', () => {}),
    )
    await waitFor(() => queued >= 2, { what: 'the accept queue to fill' })
    const recorder = new Recorder()
    connectPlaintext({ ip: '127.0.0.1', port }, { ...options, connectTimeoutMs: 100 }, recorder, timers)
    const reason = await recorder.closed.promise
    assert.equal(reason.kind, 'connect_timeout')
    for (const filler of fillers) filler.destroy()
    child.kill('SIGKILL')
  })

  test('a listener on a taken address rejects with the system error', async () => {
    const accept = () => false
    const address = { ip: '127.0.0.1', port: 0 }
    const first = await listenPlaintext({ address, backlog: 1, reusePort: false, bufferLimitBytes: 1, accept }, timers)
    await assert.rejects(
      listenPlaintext({ address: first.address, backlog: 1, reusePort: false, bufferLimitBytes: 1, accept }, timers),
      { code: 'EADDRINUSE' },
    )
    await first.close()
  })
})
