import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ResponseFlag } from '../../../sidecar/observability/response-flags.ts'
import { StreamInfo } from '../../../sidecar/observability/stream-info.ts'
import { Tap, type TapEvent, type TapQuery, type TapSink } from '../../../sidecar/observability/tap.ts'
import { parseTapQuery, TAP_PARAMETERS, tapLine } from '../../../sidecar/observability/tap-query.ts'

class Sink implements TapSink {
  readonly events: TapEvent[] = []
  readonly losses: string[] = []
  event(event: TapEvent): void {
    this.events.push(event)
  }
  lost(requests: number, why: string): void {
    this.losses.push(`${why} ${requests}`)
  }
  get kinds(): string {
    return this.events.map(({ kind, id }) => `${kind} ${id}`).join(', ')
  }
}

const clock = { nowMs: 1000, now: () => clock.nowMs, wall: () => 1_700_000_000_000 + clock.nowMs }

function query(parameters: Record<string, string> = {}): TapQuery {
  const parsed = parseTapQuery(new URLSearchParams(parameters))
  assert.equal(typeof parsed, 'object', String(parsed))
  return parsed as TapQuery
}

function stream(more: Partial<StreamInfo> = {}): StreamInfo {
  const downstream = {
    id: 7,
    directRemote: { ip: '10.0.0.1', port: 5000 },
    local: { ip: '10.0.0.2', port: 80 },
    listenerName: 'in',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  }
  return Object.assign(new StreamInfo(downstream, 'HTTP/1.1', 1000, 1_700_000_001_000), more)
}

const head = { method: 'GET', authority: 'orders', path: '/orders/1?x=2' }

/** One request through `tap`, answered after 2 ms and over after 5. */
function pass(tap: Tap, info = stream({ responseCode: 200, clusterName: 'orders' }), at = head): void {
  if (!tap.active) return
  const tapped = tap.begin('out', at, info)
  tapped?.response(info.responseCode, 1002)
  info.endMs = 1005
  tapped?.end()
}

test('nobody watches until somebody does, and no longer than that', () => {
  const tap = new Tap(clock)
  assert.equal(tap.active, false)
  const stops = [tap.watch(query(), new Sink()), tap.watch(query(), new Sink())]
  assert.equal(tap.active, true)
  stops[0]!()
  assert.equal(tap.active, true)
  stops[1]!()
  stops[1]!()
  assert.equal(tap.active, false)
})

test('a request is three events with one id, times counted as Linkerd does', () => {
  const tap = new Tap(clock, 3)
  const sink = new Sink()
  tap.watch(query(), sink)
  pass(
    tap,
    stream({ responseCode: 200, clusterName: 'orders', bytesSent: 12, upstreamHost: { ip: '10.0.0.9', port: 81 } }),
  )
  assert.equal(sink.kinds, 'req 3:1, rsp 3:1, end 3:1')
  assert.deepEqual(sink.events.map(tapLine), [
    'req id=3:1 proxy=out src=10.0.0.1:5000 dst=10.0.0.2:80 tls=false :method=GET :authority=orders :path=/orders/1?x=2 cluster=orders',
    'rsp id=3:1 proxy=out src=10.0.0.1:5000 dst=10.0.0.9:81 tls=false :status=200 latency=2000µs',
    'end id=3:1 proxy=out src=10.0.0.1:5000 dst=10.0.0.9:81 tls=false duration=3000µs response-length=12B',
  ])
})

test('the end of what failed says where it began, and one without an answer why there is none', () => {
  const tap = new Tap(clock)
  const sink = new Sink()
  tap.watch(query(), sink)
  const failure = {
    id: 'a1',
    role: 'propagated',
    origin: 'd',
    cause: 'timeout',
    link: 'c>d',
    path: 'd,c',
    confidence: 'exact',
  }
  const info = stream({ failure, responseFlags: ResponseFlag.UpstreamRequestTimeout, attemptCount: 3 })
  info.responseCodeDetails = 'downstream_remote_disconnect'
  const tapped = tap.begin('in', head, info)!
  info.endMs = 3500
  tapped.end()
  assert.equal(sink.kinds, 'req 0:1, end 0:1')
  assert.match(
    tapLine(sink.events[1]!),
    / reset-error=downstream_remote_disconnect duration=2\.500s response-length=0B flags=UT retries=2 origin=d cause=timeout role=propagated hops=d,c failure-id=a1$/,
  )
})

test('what the wire brought cannot begin a line, a field or a sequence of the terminal', () => {
  const tap = new Tap(clock)
  const sink = new Sink()
  tap.watch(query(), sink)
  pass(tap, stream(), { method: 'GET', authority: 'a b', path: '/\u009b31m\u202e"x' })
  const line = tapLine(sink.events[0]!)
  assert.match(line, / :authority="a b" :path="\/\\u009b31m\\u202e\\"x"/)
  assert.doesNotMatch(line, /\p{C}/u)
})

test('conditions known at once let the events come as they happen', () => {
  for (const [parameters, path, matches] of [
    [{ path: '/orders' }, '/orders/1', true],
    [{ path: '/pay' }, '/orders/1', false],
    [{ method: 'get' }, '/', true],
    [{ method: 'POST' }, '/', false],
    [{ authority: 'orders' }, '/', true],
    [{ authority: 'order' }, '/', false],
    [{ proxy: 'out' }, '/', true],
    [{ proxy: 'in' }, '/', false],
    [{ cluster: 'orders', from: '10.0.0.1' }, '/', true],
    [{ cluster: 'orders', from: '10.0.0.3' }, '/', false],
    [{ route: 'r' }, '/', false],
  ] as const) {
    const tap = new Tap(clock)
    const sink = new Sink()
    tap.watch(query(parameters), sink)
    const tapped = tap.begin('out', { ...head, path }, stream({ clusterName: 'orders' }))
    assert.equal(tapped !== undefined, matches, JSON.stringify(parameters))
    assert.equal(sink.events.length, matches ? 1 : 0)
  }
})

test('conditions known at the end hold all three back until then', () => {
  const failure = { id: 'a1', role: 'origin', origin: 'd', cause: 'timeout', link: '', path: 'd', confidence: 'exact' }
  for (const [parameters, matches] of [
    [{ status: '5xx' }, true],
    [{ status: '504' }, true],
    [{ status: '500-503' }, false],
    [{ status: '0' }, false],
    [{ origin: 'd' }, true],
    [{ origin: 'c' }, false],
    [{ cause: 'timeout', failed: '' }, true],
    [{ slower: '4' }, true],
    [{ slower: '6' }, false],
  ] as const) {
    const tap = new Tap(clock)
    const sink = new Sink()
    tap.watch(query(parameters), sink)
    const info = stream({ responseCode: 504, failure })
    const tapped = tap.begin('out', head, info)!
    tapped.response(504, 1002)
    assert.equal(sink.events.length, 0)
    info.endMs = 1005
    tapped.end()
    assert.equal(sink.kinds, matches ? 'req 0:1, rsp 0:1, end 0:1' : '', JSON.stringify(parameters))
  }
})

test('what is beyond max_rps is counted as lost, for each watcher by itself', () => {
  const tap = new Tap(clock)
  const [slow, fast, late] = [new Sink(), new Sink(), new Sink()]
  tap.watch(query({ max_rps: '2' }), slow)
  tap.watch(query({ max_rps: '10' }), fast)
  tap.watch(query({ max_rps: '1', status: '200' }), late)
  for (let i = 0; i < 5; i++) pass(tap)
  assert.deepEqual([slow.events.length, fast.events.length, late.events.length], [6, 15, 3])
  assert.deepEqual(slow.losses, ['rate 1', 'rate 1', 'rate 1'])
  assert.deepEqual([fast.losses, late.losses.length], [[], 4])
  clock.nowMs += 1000
  pass(tap)
  assert.equal(slow.events.length, 9, 'the next second has room again')
})

test('a parameter that makes no sense is refused in a sentence', () => {
  for (const [name, value] of [
    ['proxy', 'both'],
    ['status', '6xx'],
    ['status', '504-500'],
    ['slower', 'long'],
    ['max_rps', '0'],
    ['max_rps', '1000000'],
  ] as const) {
    const parsed = parseTapQuery(new URLSearchParams({ [name]: value }))
    assert.match(String(parsed), new RegExp(`^${name}: .* not '${value}'$`))
  }
  assert.deepEqual(new Set(TAP_PARAMETERS.map(({ name }) => name)).size, TAP_PARAMETERS.length)
})
