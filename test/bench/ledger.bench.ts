/**
 * What does failure location cost a request that succeeds? Goal: 1 µs for an inbound request and the call it makes.
 *
 *   node test/bench/ledger.bench.ts
 *
 * The whole order of calls of `contract.ts` with real header maps, 64 requests in flight, ids as fresh strings (as they
 * come from the wire: a string seen for the first time has no hash yet), made beforehand.
 * The tenth percentile counts, since other work on the machine is not the question.
 */
import { systemClock } from '../../sidecar/base/clock.ts'
import { hex64, systemRandom, uuid4 } from '../../sidecar/base/random.ts'
import { ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import type { StreamFailures } from '../../sidecar/failure-origin/contract.ts'
import { FailureLocator } from '../../sidecar/failure-origin/failure-origin.ts'
import { failureOriginSettings } from '../../sidecar/failure-origin/settings.ts'
import { StatsStore } from '../../sidecar/observability/stats-store.ts'
import { type DownstreamConnectionInfo, StreamInfo } from '../../sidecar/observability/stream-info.ts'

const BATCHES = 2000
const BATCH = 256
const IN_FLIGHT = 64

const connection: DownstreamConnectionInfo = {
  id: 1,
  directRemote: { ip: '10.0.0.1', port: 1 },
  local: { ip: '10.0.0.2', port: 2 },
  listenerName: '',
  filterChainName: '',
  tls: undefined,
  requestedServerName: '',
}
const locator = new FailureLocator(failureOriginSettings({ service: 'c' }), {
  clock: systemClock,
  random: systemRandom,
  stats: new StatsStore(),
})
const application = locator.target({ clusterName: 'local', serviceName: 'c', external: false })
const callee = locator.target({ clusterName: 'd', serviceName: 'd', external: false })
const request = new ResponseHeaders(0, headerList())

function headerList(): string[] {
  const names = ['date', 'server', 'content-type', 'content-length', 'x-envoy-upstream-service-time', 'vary', 'etag']
  return names.flatMap(name => [name, 'some value'])
}

interface Pass {
  readonly inbound: StreamInfo
  readonly egress: StreamInfo
  readonly traceId: string
  readonly spanId: string
  readonly requestId: string
  readonly response: ResponseHeaders
  failures: StreamFailures | undefined
}

function prepare(): Pass {
  const now = systemClock.now()
  const pass = {
    inbound: new StreamInfo(connection, 'HTTP/1.1', now, 0),
    egress: new StreamInfo(connection, 'HTTP/1.1', now, 0),
    // Through a buffer, so that they are flat strings without a hash, as the codec makes them.
    traceId: Buffer.from(hex64(systemRandom) + hex64(systemRandom)).toString('latin1'),
    spanId: Buffer.from(hex64(systemRandom)).toString('latin1'),
    requestId: Buffer.from(uuid4(systemRandom)).toString('latin1'),
    response: new ResponseHeaders(200, headerList()),
    failures: undefined,
  }
  pass.inbound.responseCode = 200
  pass.egress.responseCode = 200
  return pass
}

type Ids = 'headers' | 'none'

function begin(pass: Pass): void {
  locator.stripRequest(request)
  const budgetMs = locator.budgetMs(request)
  const failures = locator.inboundStart({
    startMs: pass.inbound.startMs,
    traceId: pass.traceId,
    spanId: pass.spanId,
    requestId: pass.requestId,
    sampled: false,
    wireSpanId: '',
    path: '/work',
    budgetMs: budgetMs || 15_000,
    peerIp: '10.0.0.1',
    tls: undefined,
    callerName: '',
    edge: false,
  })
  failures.routed(application, pass.requestId, '/work', '')
  failures.limitTimeout(15_000, pass.inbound.startMs)
  pass.failures = failures
}

function callAndEnd(pass: Pass, ids: Ids): void {
  locator.stripRequest(request)
  const call = locator.egressStart({
    startMs: pass.egress.startMs,
    info: pass.egress,
    traceId: ids === 'headers' ? pass.traceId : '',
    parentSpanId: ids === 'headers' ? pass.spanId : '',
    requestId: ids === 'headers' ? pass.requestId : '',
    edge: false,
  })
  call.routed(callee, pass.requestId, '/d', '')
  call.limitTimeout(15_000, pass.egress.startMs)
  call.attemptHead(pass.response, 200, pass.egress)
  call.responseHead(pass.egress, pass.response)
  pass.egress.endMs = pass.egress.startMs + 3
  call.end(pass.egress)
  const failures = pass.failures!
  failures.attemptHead(pass.response, 200, pass.inbound)
  failures.responseHead(pass.inbound, pass.response)
  pass.inbound.endMs = pass.inbound.startMs + 5
  failures.end(pass.inbound)
}

/** Microseconds per request, one value for each batch of requests made beforehand. */
function measure(ids: Ids): number[] {
  return Array.from({ length: BATCHES }, () => {
    const passes = Array.from({ length: BATCH }, prepare)
    const started = performance.now()
    for (let i = 0; i < IN_FLIGHT; i++) begin(passes[i]!)
    for (let i = IN_FLIGHT; i < BATCH; i++) {
      callAndEnd(passes[i - IN_FLIGHT]!, ids)
      begin(passes[i]!)
    }
    for (let i = BATCH - IN_FLIGHT; i < BATCH; i++) callAndEnd(passes[i]!, ids)
    return ((performance.now() - started) / BATCH) * 1000
  })
}

/** What one Map set and delete with the same ids costs here and now: the yardstick on a busy machine. */
function bareMap(): number[] {
  const map = new Map<string, unknown>()
  return Array.from({ length: BATCHES }, () => {
    const passes = Array.from({ length: BATCH }, prepare)
    const started = performance.now()
    for (let i = 0; i < BATCH; i++) {
      map.set(passes[i]!.traceId, passes[i])
      if (i >= IN_FLIGHT) map.delete(passes[i - IN_FLIGHT]!.traceId)
    }
    const ms = performance.now() - started
    map.clear()
    return (ms / BATCH) * 1000
  })
}

bareMap()
console.log(
  `bare Map set and delete: ${bareMap()
    .sort((a, b) => a - b)
    [BATCHES / 10]!.toFixed(2)} µs`,
)
for (const ids of ['headers', 'none'] as const) {
  measure(ids)
  const costs = measure(ids).sort((a, b) => a - b)
  const [best, middle] = [costs[BATCHES / 10]!, costs[BATCHES / 2]!]
  const verdict = best <= 1 ? 'ok' : 'MISSED'
  console.log(
    `ids ${ids}: ${best.toFixed(2)} µs (tenth percentile; median ${middle.toFixed(2)}), goal 1 µs: ${verdict}`,
  )
}
console.log(`held: ${JSON.stringify(locator.held)}`)
