import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdminHandler } from '../../../sidecar/admin/admin-handler.ts'
import type { AdminResponse } from '../../../sidecar/admin/message.ts'
import type { TapEvent } from '../../../sidecar/observability/tap.ts'
import { bodyText, FakeControl, request } from './fake-control.ts'

const event = (number: number): TapEvent => ({
  kind: 'req',
  id: `0:${number}`,
  at: 1,
  proxy: 'in',
  src: '10.0.0.1:1',
  dst: '10.0.0.2:2',
  tls: false,
  method: 'GET',
  authority: 'a',
  path: '/',
  route: '',
  cluster: '',
})
const end = (number: number): TapEvent => ({
  ...event(number),
  kind: 'end',
  status: 200,
  grpcStatus: -1,
  latencyMs: 1,
  durationMs: 1,
  requestBytes: 0,
  responseBytes: 0,
  flags: '-',
  details: '',
  retries: 0,
  origin: '',
  cause: '',
  role: '',
  hops: '',
  failureId: '',
})

async function open(target: string) {
  const control = new FakeControl()
  const response = (await new AdminHandler(control).handle(request(`GET ${target}`))) as AdminResponse
  const pieces = (response.body as AsyncIterable<string>)[Symbol.asyncIterator]()
  return { control, response, pieces, next: async () => (await pieces.next()).value as string }
}

test('events come as lines of JSON, after one that says the tap is open', async () => {
  const { control, response, next } = await open('/tap?path=/x')
  assert.deepEqual([response.status, response.contentType], [200, 'application/x-ndjson'])
  assert.equal(await next(), '{"kind":"start"}\n')
  const waiting = next()
  control.sinks[0]!.event(event(1))
  assert.equal(await waiting, `${JSON.stringify(event(1))}\n`)
  control.sinks[0]!.event(event(2))
  control.sinks[0]!.event(event(3))
  assert.equal(await next(), `${JSON.stringify(event(2))}\n${JSON.stringify(event(3))}\n`, 'all that waits, at once')
  assert.match(control.asked.join(), /^tap .*"path":"\/x"/)
})

test('format=text gives the lines that hopwise tap prints', async () => {
  const { control, response, next } = await open('/tap?format=text')
  assert.match(response.contentType, /^text\/plain/)
  await next()
  control.sinks[0]!.event(event(1))
  assert.match(await next(), /^req id=0:1 proxy=in src=10\.0\.0\.1:1 .*:path=\/\n$/)
})

test('the watcher goes when its reader does, also while it waits', async () => {
  const { control, pieces, next } = await open('/tap')
  await next()
  const waiting = pieces.next()
  assert.equal(control.sinks.length, 1)
  await pieces.return!()
  assert.deepEqual(await waiting, { done: true, value: undefined })
  assert.equal(control.sinks.length, 0)
})

test('a reader that does not read loses what finds the queue full, and is told how much', async () => {
  const { control, next } = await open('/tap')
  const [sink] = control.sinks
  for (let i = 0; i < 3000; i++) {
    sink!.event(event(i))
    sink!.event(end(i))
  }
  sink!.lost(7, 'rate')
  const lines = (await next()).trimEnd().split('\n')
  assert.equal(lines.length, 1002)
  assert.equal(lines.at(-2), '{"kind":"lost","requests":7,"why":"rate"}')
  // 999 events found room after the first line: 500 requests, of the last only its beginning.
  assert.equal(lines.at(-1), '{"kind":"lost","requests":2501,"why":"slow_reader"}')
  sink!.event(event(9))
  assert.equal(await next(), `${JSON.stringify(event(9))}\n`, 'told once')
})

test('what cannot be tapped is refused', async () => {
  const handler = new AdminHandler(new FakeControl())
  for (const [target, pattern] of [
    ['/tap?status=6xx', /^status: 503, 5xx or 500-504, not '6xx'\n$/],
    ['/tap?pth=/x', /^no parameter 'pth', did you mean 'path'\?\n$/],
    ['/tap?format=xml', /^format: json or text, not 'xml'\n$/],
  ] as const) {
    const response = await handler.handle(request(`GET ${target}`))
    assert.equal(response.status, 400)
    assert.match(await bodyText(response), pattern)
  }
  const full = new FakeControl()
  full.maxTaps = 0
  const refused = await new AdminHandler(full).handle(request('GET /tap'))
  assert.deepEqual([refused.status, await bodyText(refused)], [503, 'too many taps are open: end one of them\n'])
})
