import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeUpstream } from '../../kit/fake-upstream.ts'
import { freePorts } from '../../kit/free-port.ts'
import { fetchRaw, TestClient } from '../../kit/http-client.ts'
import { run, TestProcess } from '../../kit/process.ts'

test('what a client sends is recorded byte for byte', async () => {
  await using upstream = await FakeUpstream.start()
  const bytes = 'POST /a?b HTTP/1.1\r\nHost: x\r\nX-Odd:  two  \r\nContent-Length: 3\r\n\r\nabc'
  using client = await TestClient.connect(upstream.port)
  const response = await client.request(bytes)
  assert.equal(response.status, 200)
  assert.equal(response.text, 'ok')
  const [request] = upstream.requests
  assert.equal(request!.head + request!.text, bytes)
  assert.equal(request!.header('x-odd'), 'two')
})

test('chunks, trailers and informational responses come through', async () => {
  await using upstream = await FakeUpstream.start([
    {
      status: 201,
      informational: [{ status: 103, headers: { link: '</a>' } }],
      chunks: ['one', 'three'],
      trailers: [['x-sum', '8']],
    },
  ])
  const response = await fetchRaw(upstream.port, { method: 'PUT', chunks: ['x', 'yz'], trailers: [['x-end', 'yes']] })
  assert.equal(response.status, 201)
  assert.deepEqual(response.chunkSizes, [3, 5])
  assert.equal(response.text, 'onethree')
  assert.equal(response.trailer('x-sum'), '8')
  assert.equal(response.informational[0]!.startLine, 'HTTP/1.1 103 Informational')
  assert.deepEqual(upstream.requests[0]!.chunkSizes, [1, 2])
  assert.deepEqual(upstream.requests[0]!.trailers, [['x-end', 'yes']])
})

test('pipelined requests are answered in order on one connection', async () => {
  await using upstream = await FakeUpstream.start(request => ({ body: request.target }))
  using client = await TestClient.connect(upstream.port)
  client.write('GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n')
  assert.equal((await client.readResponse()).text, '/1')
  assert.equal((await client.readResponse()).text, '/2')
  assert.equal(upstream.connections, 1)
})

test('a response to HEAD has no body', async () => {
  await using upstream = await FakeUpstream.start([{ body: 'four' }])
  using client = await TestClient.connect(upstream.port)
  const head = await client.request({ method: 'HEAD' })
  assert.equal(head.header('content-length'), '4')
  assert.equal(head.framing, 'none')
  assert.equal((await client.request({})).text, 'four')
})

test('a connection that breaks shows where', async t => {
  const cut = async (answer: object) => {
    await using upstream = await FakeUpstream.start([answer])
    return await fetchRaw(upstream.port)
  }
  await t.test('before a head', async () => {
    await assert.rejects(cut({ end: 'close' }), /ended before a response/)
    await assert.rejects(cut({ end: 'reset' }), /reset before a response/)
    await assert.rejects(cut({ end: 'close-mid-head' }), /ended before a response; unread: "HTTP/)
  })
  await t.test('in the body', async () => {
    const response = await cut({ body: 'abcdef', end: 'reset-mid-body' })
    assert.equal(response.framing, 'cut')
    assert.equal(response.text, 'abc')
    assert.equal((await cut({ chunks: ['ab', 'cd'], end: 'close-mid-body' })).framing, 'cut')
  })
})

test('the last answer of a script repeats, hang answers nothing, raw sends what it says', async () => {
  await using upstream = await FakeUpstream.start([{ status: 503 }, { raw: 'garbage\r\n\r\n', end: 'close-after' }])
  assert.equal((await fetchRaw(upstream.port)).status, 503)
  using client = await TestClient.connect(upstream.port)
  client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  assert.equal((await client.readRaw(9)).toString(), 'garbage\r\n\r\n')
  upstream.script = [{ end: 'hang' }]
  using waiting = await TestClient.connect(upstream.port)
  await assert.rejects(waiting.request({}, 50), /no response within 50 ms/)
})

test('100-continue is answered before the body comes', async () => {
  await using upstream = await FakeUpstream.start()
  using client = await TestClient.connect(upstream.port)
  client.write('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n')
  assert.match((await client.readHead()).startLine, /100 Continue/)
  client.write('hi')
  const response = await client.readResponse()
  assert.equal(response.status, 200)
  assert.equal(response.informational.length, 1)
  assert.equal(upstream.requests[0]!.text, 'hi')
})

test('free ports are different and not in the range of outgoing connections', async () => {
  const ports = await freePorts(20)
  assert.equal(new Set(ports).size, 20)
  assert.ok(ports.every(port => port < 32768))
})

test('a process gives its output, its exit code, and its end in time', async () => {
  assert.equal((await run(process.execPath, ['-p', '1 + 1'])).stdout, '2\n')
  await assert.rejects(run(process.execPath, ['-e', 'console.error("why"); process.exit(3)']), /ended with 3:\nwhy/)
  await using child = TestProcess.start(process.execPath, [
    '-e',
    'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up")',
  ])
  assert.equal(await child.waitForLine(/^up/), 'up')
  assert.equal(await child.stop('SIGTERM', 100), -1)
  await assert.rejects(TestProcess.start(process.execPath, ['-e', '0']).waitForLine('never'), /ended with 0 before/)
})
