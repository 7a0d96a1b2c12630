import assert from 'node:assert/strict'
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ManualClock } from '../../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../../sidecar/base/random.ts'
import { TimerWheel } from '../../../../sidecar/base/timer-wheel.ts'
import { RequestHeaders } from '../../../../sidecar/codec/header-map.ts'
import {
  AccessLog,
  type AccessLogConfig,
  compileFormatSource,
} from '../../../../sidecar/observability/access-log/access-log.ts'
import { LogFile, LogFileError, LogFileStats } from '../../../../sidecar/observability/access-log/log-file.ts'
import { LogFiles } from '../../../../sidecar/observability/access-log/log-files.ts'
import { compileLogFilter, type LogFilterConfig } from '../../../../sidecar/observability/access-log/log-filter.ts'
import { ResponseFlag } from '../../../../sidecar/observability/response-flags.ts'
import { StatsStore } from '../../../../sidecar/observability/stats-store.ts'
import { StreamInfo } from '../../../../sidecar/observability/stream-info.ts'
import { TraceReason } from '../../../../sidecar/observability/tracing/sampling.ts'
import { temporaryFolder } from '../../../kit/proxy-process.ts'
import { waitFor } from '../../../kit/wait-for.ts'

function request(change: (info: StreamInfo) => void = () => {}) {
  const address = { ip: '127.0.0.1', port: 1 }
  const connection = {
    id: 1,
    directRemote: address,
    local: address,
    listenerName: '',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  }
  const info = new StreamInfo(connection, 'HTTP/1.1', 10, 0)
  info.endMs = 35.9
  info.responseCode = 200
  change(info)
  return { info, requestHeaders: new RequestHeaders('GET', '/', 'h', 'http', ['x-a', '1']) }
}

function setUp(options: { maxBufferedBytes?: number } = {}) {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const store = new StatsStore()
  const logOptions = { timers, stats: new LogFileStats(store), ...options }
  const folder = temporaryFolder()
  const count = (name: string) => store.counter(`filesystem.${name}`).value
  return { clock, timers, store, folder, path: join(folder, 'access.log'), logOptions, count }
}

const runtime = { number: (key: string, fallback: number) => (key === 'known' ? 404 : fallback) }
const at = (op: 'EQ' | 'GE' | 'LE' | 'NE', value: number, runtimeKey = '') => ({ op, value, runtimeKey })

const FILTERS: readonly (readonly [
  name: string,
  config: LogFilterConfig,
  change: (info: StreamInfo) => void,
  logged: boolean,
])[] = [
  ['status = 200', { type: 'status_code', comparison: at('EQ', 200) }, () => {}, true],
  ['status ≥ 500 of 200', { type: 'status_code', comparison: at('GE', 500) }, () => {}, false],
  ['status ≤ 299', { type: 'status_code', comparison: at('LE', 299) }, () => {}, true],
  ['status ≠ 200', { type: 'status_code', comparison: at('NE', 200) }, () => {}, false],
  [
    'a runtime value replaces the configured one',
    { type: 'status_code', comparison: at('EQ', 200, 'known') },
    () => {},
    false,
  ],
  ['an unknown runtime key leaves it', { type: 'status_code', comparison: at('EQ', 200, 'other') }, () => {}, true],
  ['duration in whole milliseconds', { type: 'duration', comparison: at('EQ', 25) }, () => {}, true],
  ['health checks are left out', { type: 'not_health_check' }, info => void (info.healthCheck = true), false],
  ['others are not', { type: 'not_health_check' }, () => {}, true],
  [
    'traceable means forced by a service',
    { type: 'traceable' },
    info => void (info.traceReason = TraceReason.ServiceForced),
    true,
  ],
  [
    'sampled is not traceable, as in Envoy',
    { type: 'traceable' },
    info => void (info.traceReason = TraceReason.Sampling),
    false,
  ],
  ['and', { type: 'and', filters: [{ type: 'not_health_check' }, { type: 'traceable' }] }, () => {}, false],
  ['or', { type: 'or', filters: [{ type: 'traceable' }, { type: 'not_health_check' }] }, () => {}, true],
  ['header', { type: 'header', matches: headers => headers.get('x-a') === '1' }, () => {}, true],
  [
    'a response flag',
    { type: 'response_flag', flags: ['UF', 'NR'] },
    info => void (info.responseFlags = ResponseFlag.NoRouteFound),
    true,
  ],
  [
    'another response flag',
    { type: 'response_flag', flags: ['UF'] },
    info => void (info.responseFlags = ResponseFlag.NoRouteFound),
    false,
  ],
  [
    'any response flag',
    { type: 'response_flag', flags: [] },
    info => void (info.responseFlags = ResponseFlag.NoRouteFound),
    true,
  ],
  ['no response flag', { type: 'response_flag', flags: [] }, () => {}, false],
  ['gRPC status', { type: 'grpc_status', statuses: [5, 14], exclude: false }, info => void (info.grpcStatus = 5), true],
  [
    'gRPC status, excluded',
    { type: 'grpc_status', statuses: [5], exclude: true },
    info => void (info.grpcStatus = 5),
    false,
  ],
  [
    'gRPC status made of an HTTP status',
    { type: 'grpc_status', statuses: [14], exclude: false },
    info => void (info.responseCode = 503),
    true,
  ],
  ['log type', { type: 'log_type', types: ['DownstreamEnd'], exclude: false }, () => {}, true],
  ['log type, excluded', { type: 'log_type', types: ['DownstreamEnd'], exclude: true }, () => {}, false],
  [
    'metadata',
    { type: 'metadata', namespace: 'n', path: ['a', 'b'], matches: value => value === 1, matchIfKeyNotFound: false },
    info => info.setDynamicMetadata('n', 'a', { b: 1 }),
    true,
  ],
  [
    'metadata that is not there',
    { type: 'metadata', namespace: 'n', path: ['a'], matches: () => false, matchIfKeyNotFound: true },
    () => {},
    true,
  ],
]

for (const [name, config, change, logged] of FILTERS) {
  test(`filter: ${name}`, () => {
    const filter = compileLogFilter(config, { random: new SeededRandom(1), runtime })
    assert.equal(filter(request(change)), logged)
  })
}

test('the runtime filter takes the request id as its lot, and draws where there is none', () => {
  const config = {
    type: 'runtime',
    runtimeKey: 'k',
    numerator: 10,
    denominator: 100,
    useIndependentRandomness: false,
  } as const
  const filter = compileLogFilter(config, { random: new SeededRandom(1) })
  const withId = (id: string) => filter(request(info => void (info.requestId = id)))
  assert.equal(withId('00000009-0000-4000-8000-000000000000'), true)
  assert.equal(withId('0000000a-0000-4000-8000-000000000000'), false)
  const drawn = Array.from({ length: 1000 }, () => withId('none')).filter(Boolean).length
  assert.ok(drawn > 60 && drawn < 140, String(drawn))
})

test('lines are written in batches: at 64 KiB, with the timer, and at the end', async t => {
  const { clock, timers, path, logOptions, count, store } = setUp()
  t.after(() => timers.close())
  const file = new LogFile(path, logOptions)
  const read = () => readFileSync(path, 'latin1')
  file.write('a\n')
  assert.equal(read(), '')
  assert.equal(store.gauge('filesystem.write_total_buffered').value, 2)
  clock.advance(10_100)
  timers.advance()
  await waitFor(() => read() === 'a\n')
  assert.equal(count('flushed_by_timer'), 1)
  file.write('x'.repeat(70_000))
  await waitFor(() => read().length === 70_002)
  file.write('caf\xe9\n')
  await file.close()
  assert.deepEqual(readFileSync(path).subarray(-5), Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x0a]))
  assert.deepEqual(['write_buffered', 'write_completed', 'write_failed', 'lines_dropped'].map(count), [3, 3, 0, 0])
  assert.equal(store.gauge('filesystem.write_total_buffered').value, 0)
  file.write('late')
  assert.equal(count('lines_dropped'), 1)
})

test('what exceeds the buffer is dropped and counted', async t => {
  const { timers, path, logOptions, count } = setUp({ maxBufferedBytes: 10 })
  t.after(() => timers.close())
  const file = new LogFile(path, logOptions)
  for (let i = 0; i < 5; i++) file.write('1234')
  assert.equal(count('lines_dropped'), 3)
  await file.close()
  assert.equal(readFileSync(path, 'utf8'), '12341234')
})

test('reopen goes on in a new file after the old one was moved away, and survives a path that cannot be opened', async t => {
  const { timers, path, folder, logOptions, count } = setUp()
  t.after(() => timers.close())
  const file = new LogFile(path, logOptions)
  file.write('old\n')
  renameSync(path, `${path}.1`)
  file.reopen()
  await waitFor(() => existsSync(path))
  file.write('new\n')
  await file.flush()
  assert.equal(readFileSync(`${path}.1`, 'utf8'), 'old\n')
  assert.equal(readFileSync(path, 'utf8'), 'new\n')
  rmSync(folder, { recursive: true })
  file.reopen()
  await waitFor(() => count('reopen_failed') === 1)
  file.write('lost with its folder\n')
  await file.close()
  assert.equal(count('write_failed'), 0)
})

test('the end of the process writes what is left without waiting', t => {
  const { timers, path, logOptions } = setUp()
  t.after(() => timers.close())
  const file = new LogFile(path, logOptions)
  file.write('last\n')
  file.closeSync()
  assert.equal(readFileSync(path, 'utf8'), 'last\n')
})

test('a path that cannot be opened is a configuration error in Envoy’s words', t => {
  const { timers, logOptions, folder } = setUp()
  t.after(() => timers.close())
  const path = join(folder, 'no', 'log')
  assert.throws(
    () => new LogFile(path, logOptions),
    new LogFileError(`unable to open file '${path}': No such file or directory`),
  )
  const config: AccessLogConfig = { path, format: { type: 'default' } }
  const { errors } = AccessLog.create(config, { files: new LogFiles(logOptions) })
  assert.equal(errors?.[0]?.message, `unable to open file '${path}': No such file or directory`)
})

test('two logs of one path share the file; it is closed when the last has gone', async t => {
  const { timers, path, logOptions } = setUp()
  t.after(() => timers.close())
  const files = new LogFiles(logOptions)
  const create = (config: Omit<AccessLogConfig, 'path'>) => AccessLog.create({ path, ...config }, { files }).value!
  const all = create({ format: { type: 'text', format: '%RESPONSE_CODE%\n' } })
  const failed = create({
    format: { type: 'json', format: { code: '%RESPONSE_CODE%' } },
    filter: { type: 'status_code', comparison: at('GE', 500) },
  })
  for (const code of [200, 503]) {
    for (const log of [all, failed]) log.log(request(info => void (info.responseCode = code)))
  }
  await files.flush()
  assert.equal(readFileSync(path, 'utf8'), '200\n503\n{"code":503}\n')
  all.release()
  failed.log(request(info => void (info.responseCode = 500)))
  await files.flush()
  failed.release()
  assert.match(readFileSync(path, 'utf8'), /"code":500\}\n$/)
})

test('formats come from presets too, and an unknown one is named', () => {
  assert.match(compileFormatSource({ type: 'preset', name: 'apache' }).value!(request()), /^127\.0\.0\.1 - - \[/)
  assert.match(
    compileFormatSource({ type: 'default' }).value!(request()),
    /^\[1970-01-01T00:00:00\.000Z\] "GET \/ HTTP\/1\.1" 200 - /,
  )
  assert.equal(
    compileFormatSource({ type: 'preset', name: 'nginx' }).errors?.[0]?.message,
    'no log format is called "nginx", there are envoy, istio, apache, json, ecs',
  )
})
