/** A Node service of the demonstration that is asked over gRPC: each of its methods, and what it does to them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Stream, connect } from 'node:http2'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePorts } from '../../kit/free-port.ts'
import { repository } from '../../kit/install-once.ts'
import { TestProcess } from '../../kit/process.ts'

const EMPTY_MESSAGE = Buffer.alloc(5)

test('Work and Quote answer once, Feed is a stream; each may hang or fall silent alone', async t => {
  const [port, opsPort] = (await freePorts(2)) as [number, number]
  const options = { name: 'c-app', port, opsPort, egressPort: 0, serves: 'grpc', calls: [], http2: false }
  const service = TestProcess.start(
    process.execPath,
    [
      join(repository, 'demo-services', 'service.ts'),
      JSON.stringify({ ...options, workMs: 1, zipkinUrl: '', propagators: 'b3multi' }),
    ],
    { name: 'c-app' },
  )
  t.after(() => service.stop('SIGTERM'))
  await service.waitForPort(port)
  await service.waitForPort(opsPort)
  const session = connect(`http://127.0.0.1:${port}`)
  t.after(() => session.destroy())
  const control = async (behaviour: object) => {
    const answer = await fetch(`http://127.0.0.1:${opsPort}/control`, {
      method: 'POST',
      body: JSON.stringify(behaviour),
    })
    assert.equal(answer.status, 200)
  }
  const open = (method: string): ClientHttp2Stream => {
    const head = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }
    const stream = session.request({ ...head, ':path': `/hopwise.demo.Chain/${method}` }, { endStream: false })
    stream.end(EMPTY_MESSAGE)
    return stream
  }
  /** Its status, and who it says has done it. */
  const ask = async (method: string) => {
    const stream = open(method)
    let status: unknown
    let text = ''
    for (const event of ['response', 'trailers'] as const) {
      stream.on(event, headers => {
        status = headers['grpc-status'] ?? status
      })
    }
    for await (const bytes of stream) text += bytes
    return [Number(status), text.includes('c-app')]
  }
  for (const method of ['Work', 'Quote', 'Feed']) assert.deepEqual(await ask(method), [0, true], method)
  await control({ status: 503 })
  for (const method of ['Work', 'Quote', 'Feed']) assert.deepEqual(await ask(method), [14, false], method)

  await control({ stall: true, path: '/hopwise.demo.Chain/Feed' })
  const feed = open('Feed')
  let ended = false
  feed.on('end', () => {
    ended = true
  })
  const first = await new Promise<Buffer>(resolve => feed.on('data', resolve))
  assert.ok(first.includes('c-app'), 'a first message')
  await control({ hang: true, path: '/hopwise.demo.Chain/Quote' })
  let heard = false
  open('Quote').on('response', () => {
    heard = true
  })
  for (let i = 0; i < 50; i++) assert.deepEqual(await ask('Work'), [0, true])
  assert.deepEqual([ended, heard], [false, false])

  // Of a connection that others use only the stream is reset.
  await control({ reset: true })
  const reset = open('Work')
  await assert.rejects(once(reset, 'close'), /NGHTTP2_INTERNAL_ERROR/)
  await control({ answerHeadBytes: 50_000 })
  const [headers] = await once(open('Work'), 'response')
  assert.equal(String(headers['x-ballast']).length, 50_000)
})
