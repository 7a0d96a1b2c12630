/** The Go services of the demonstration, alone: both versions of HTTP, gRPC to c, every fault, and the supervisor. */
import assert from 'node:assert/strict'
import { connect, type ServerHttp2Stream } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { SPREE_CALLS } from '../../demo-services/behaviour.ts'
import { makeIdentities } from '../../demo-services/make-identities.ts'
import { freePorts } from '../kit/free-port.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { repository } from '../kit/install-once.ts'
import { partOrSkip } from '../kit/parts.ts'
import { run, TestProcess } from '../kit/process.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const module = join(repository, 'demo-services', 'go')

async function overHttp2(port: number, path: string): Promise<number> {
  const session = connect(`http://127.0.0.1:${port}`)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  session.on('error', reject)
  const stream = session.request({ ':path': path })
  let status = 0
  stream.on('response', headers => {
    status = Number(headers[':status'])
  })
  stream.on('error', reject)
  stream.on('close', () => (stream.rstCode === 0 && status > 0 ? resolve(status) : reject(new Error('broken off'))))
  stream.resume()
  return promise.finally(() => session.destroy())
}

/** How many bytes come first. */
async function firstBytesOverHttp2(port: number, path: string): Promise<number> {
  const session = connect(`http://127.0.0.1:${port}`)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  session.on('error', reject)
  session.request({ ':path': path }).on('data', (data: Buffer) => resolve(data.length))
  return promise.finally(() => session.destroy())
}

test('the Go services of the demonstration', { timeout: 400_000 }, async t => {
  const go = await partOrSkip(t, 'go')
  if (go === undefined) return
  const folder = temporaryFolder()
  await run(go, ['vet', './...'], { cwd: module, deadlineMs: 300_000 })
  await run(go, ['build', '-o', `${folder}/`, './cmd/b', './cmd/d', './cmd/outside'], {
    cwd: module,
    deadlineMs: 300_000,
  })

  const start = async (name: string, env: Record<string, string>) => {
    const [port, ops] = await freePorts(2)
    const own = { PORT: String(port), OPS_PORT: String(ops), TMPDIR: temporaryFolder(), ...env }
    const process = TestProcess.start(join(folder, name), [], { name, env: own })
    t.after(() => process.stop('SIGTERM'))
    await process.waitForPort(port!)
    await process.waitForPort(ops!)
    const control = (behaviour: object) =>
      fetch(`http://127.0.0.1:${ops}/control`, { method: 'POST', body: JSON.stringify(behaviour) })
    return { process, port: port!, ops: ops!, control, env: own }
  }
  const d = await start('d', {})
  const ask = () => fetchRaw(d.port, { path: '/', host: 'd' })

  await t.test('d answers over HTTP/1.1 and over HTTP/2 in plaintext', async () => {
    const answer = await ask()
    assert.equal(answer.status, 200)
    assert.deepEqual(JSON.parse(answer.text), { service: 'd' })
    assert.equal(await overHttp2(d.port, '/'), 200)
  })

  await t.test('it does what it is told, over either, until it is told otherwise', async () => {
    await d.control({ status: 503 })
    assert.equal((await ask()).status, 503)
    assert.equal(await overHttp2(d.port, '/'), 503)
    await d.control({ path: '/other', status: 503 })
    assert.equal((await ask()).status, 200, 'only for that path')
    for (const behaviour of [{ reset: true }, { close: true }, { garbage: true }, { cutBody: 'length' }]) {
      await d.control(behaviour)
      await assert.rejects(overHttp2(d.port, '/'), JSON.stringify(behaviour))
      await assert.rejects(
        ask().then(({ status }) => assert.equal(status, 0)),
        JSON.stringify(behaviour),
      )
    }
    await d.control({})
    assert.equal((await ask()).status, 200)
  })

  await t.test('it begins an answer and falls silent, over either', async () => {
    await d.control({ path: '/feed', stall: true })
    for (const begin of [
      fetch(`http://127.0.0.1:${d.port}/feed`).then(async ({ body }) => (await body!.getReader().read()).value!.length),
      firstBytesOverHttp2(d.port, '/feed'),
    ]) {
      assert.equal(await begin, 1000)
    }
    assert.equal((await ask()).status, 200, 'only there')
  })

  await t.test('what it does not know it refuses, and goes on as before', async () => {
    for (const wrong of [{ statsu: 500 }, { status: 'yes' }, { cutBody: 'twice' }]) {
      assert.equal((await d.control(wrong)).status, 400, JSON.stringify(wrong))
    }
    assert.equal((await ask()).status, 200)
  })

  await t.test('a crash ends the process, and the supervisor starts another', async () => {
    await d.control({ crash: 300 })
    await assert.rejects(ask())
    await d.process.waitForLine('starts again in 300ms')
    await waitFor(
      () =>
        ask().then(
          ({ status }) => status === 200,
          () => false,
        ),
      { what: 'an answer again' },
    )
    assert.equal((await run(join(folder, 'd'), ['health'], { env: d.env })).stdout, 'ready\n')
  })

  await t.test('it counts what it answered, in words that Prometheus reads', async () => {
    const text = await (await fetch(`http://127.0.0.1:${d.ops}/metrics`)).text()
    assert.match(text, /^# TYPE http_requests_total counter$/m)
    assert.match(text, /^http_requests_total\{status="200"\} [1-9]/m)
    assert.match(text, /^http_request_duration_seconds_count [1-9]/m)
  })

  await t.test('b asks c over gRPC by the port it is given, and copies headers only when told to', async () => {
    for (const copies of ['', 'yes']) {
      const egress = await recordingServer()
      t.after(() => egress.close())
      const b = await start('b', { EGRESS: `127.0.0.1:${egress.port}`, COPY_HEADERS: copies })
      const headers = { 'x-b3-traceid': '1234567890abcdef', 'x-request-id': 'one', other: 'two' }
      const answer = await fetchRaw(b.port, { path: '/', host: 'b', headers })
      assert.equal(answer.status, 200, answer.text)
      const [call] = egress.calls
      assert.equal(call?.[':path'], '/hopwise.demo.Chain/Work')
      assert.equal(call?.[':authority'], 'c')
      assert.equal(call?.['x-b3-traceid'], copies === '' ? undefined : '1234567890abcdef')
      assert.equal(call?.['x-request-id'], copies === '' ? undefined : 'one')
      assert.equal(call?.['other'], undefined)
      egress.status = '14'
      const failed = await fetchRaw(b.port, { path: '/', host: 'b' })
      assert.equal(failed.status, 502)
      assert.match(failed.text, /c: rpc error: code = Unavailable/)
      await b.control({ swallow: true })
      assert.equal((await fetchRaw(b.port, { path: '/', host: 'b' })).status, 200)
      await b.control({ deadlineMs: 300 })
      await fetchRaw(b.port, { path: '/', host: 'b' })
      const [, microseconds] = /^(\d+)u$/.exec(String(egress.calls.at(-1)!['grpc-timeout']))!
      assert.ok(Number(microseconds) <= 300_000, String(microseconds))
    }
  })

  await t.test('b asks c for what else it has over gRPC', async () => {
    const egress = await recordingServer()
    t.after(() => egress.close())
    const b = await start('b', { EGRESS: `127.0.0.1:${egress.port}` })
    for (const method of ['Quote', 'Feed']) {
      egress.calls.length = 0
      egress.status = '0'
      await b.control({ alsoCall: `c/hopwise.demo.Chain/${method}` })
      const answer = await fetchRaw(b.port, { path: '/', host: 'b' })
      assert.equal(answer.status, 200, answer.text)
      const paths = egress.calls.map(call => call[':path'])
      assert.deepEqual(paths, [`/hopwise.demo.Chain/${method}`, '/hopwise.demo.Chain/Work'])
      egress.status = '14'
      const failed = await fetchRaw(b.port, { path: '/', host: 'b' })
      assert.match(failed.text, /c: rpc error: code = Unavailable/)
    }
  })

  await t.test('b calls others as it is told: by a path, many times, for a WebSocket', async () => {
    const { createServer } = await import('node:http')
    const asked: string[] = []
    const egress = createServer((request, response) => {
      asked.push(`${request.headers.host}${request.url}`)
      response.end('{}')
    })
    egress.on('upgrade', (request, socket) => {
      asked.push(`${request.headers.host}${request.url} ${request.headers.upgrade}`)
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    })
    // Of gRPC this one knows nothing, which b does not mind.
    await new Promise<void>(resolve => egress.listen(0, '127.0.0.1', resolve))
    t.after(() => egress.close())
    const b = await start('b', { EGRESS: `127.0.0.1:${(egress.address() as { port: number }).port}` })
    const told = async (behaviour: object) => {
      asked.length = 0
      await b.control({ swallow: true, ...behaviour })
      assert.equal((await fetchRaw(b.port, { path: '/', host: 'b' })).status, 200)
      return [...asked]
    }
    assert.deepEqual(await told({ alsoCall: 'outside/feed' }), ['outside/feed'])
    assert.deepEqual(await told({ alsoCall: 'ledger' }), ['ledger/'])
    assert.deepEqual(await told({ upgrade: 'c' }), ['c/ websocket'])
    const spree = await told({ spree: 'c/healthz' })
    assert.equal(spree.length, SPREE_CALLS)
    assert.deepEqual([...new Set(spree)], ['c/healthz'])
    await b.control({ upgrade: 'c' })
    assert.match((await fetchRaw(b.port, { path: '/', host: 'b' })).text, /c: 403/)
  })

  await t.test('the black hole of the outside lets nobody connect, and does not say so', async () => {
    const identities = temporaryFolder()
    makeIdentities(identities)
    const [hole] = await freePorts(1)
    const outside = await start('outside', { CERTIFICATES: join(identities, 'outside'), BLACK_HOLE_PORT: String(hole) })
    const socket = connectTcp(hole!, '127.0.0.1')
    t.after(() => socket.destroy())
    let heard = ''
    for (const event of ['connect', 'error', 'close']) socket.on(event, () => (heard = event))
    // As long as others are answered many times over.
    for (let i = 0; i < 50; i++) assert.equal((await fetch(`http://127.0.0.1:${outside.ops}/ready`)).status, 200)
    assert.equal(heard, '')
    assert.ok(socket.connecting)
  })
})

/** Stands for the egress listener of b: takes gRPC, keeps what it was asked, and answers `status`. */
async function recordingServer() {
  const { createServer } = await import('node:http2')
  const server = createServer()
  const recorder = {
    port: 0,
    status: '0',
    calls: [] as Record<string, unknown>[],
    close: () => server.close(),
  }
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    recorder.calls.push(headers)
    stream.resume()
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': recorder.status }))
    stream.end(recorder.status === '0' ? Buffer.alloc(5) : undefined)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  recorder.port = (server.address() as { port: number }).port
  return recorder
}
