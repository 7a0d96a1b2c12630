import { ManualClock } from '../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import type { InboundRequest, StreamFailures } from '../../../sidecar/failure-origin/contract.ts'
import { FailureLocator } from '../../../sidecar/failure-origin/failure-origin.ts'
import type { LedgerShare } from '../../../sidecar/failure-origin/ledger-sharing.ts'
import { PlainLabelledStats } from '../../../sidecar/failure-origin/metrics.ts'
import { serialiseRecord } from '../../../sidecar/failure-origin/proxy-status.ts'
import type { FailureRecord } from '../../../sidecar/failure-origin/record.ts'
import { type FailureOriginSettings, failureOriginSettings } from '../../../sidecar/failure-origin/settings.ts'
import { ResponseFlag } from '../../../sidecar/observability/response-flags.ts'
import { StreamInfo, type TlsInfo } from '../../../sidecar/observability/stream-info.ts'
import { Headers } from './simulation.ts'

/** The sidecar of `c`, driven by hand. */
export class Sidecar {
  readonly clock = new ManualClock()
  readonly stats = new PlainLabelledStats()
  readonly locator: FailureLocator
  #n = 0
  constructor(settings: Partial<FailureOriginSettings> = {}, inboundSide = true, share?: LedgerShare) {
    this.locator = new FailureLocator(failureOriginSettings({ service: 'c', ...settings }), {
      clock: this.clock,
      random: new SeededRandom(1),
      stats: this.stats,
      share,
    })
    if (inboundSide) this.locator.expectInbound()
  }

  info(upstreamIp = '10.0.0.7', tls?: TlsInfo): StreamInfo {
    const connection = {
      id: 1,
      directRemote: { ip: '10.0.0.1', port: 1 },
      local: { ip: '10.0.0.2', port: 2 },
      listenerName: '',
      filterChainName: '',
      tls: undefined,
      requestedServerName: '',
    }
    const info = new StreamInfo(connection, 'HTTP/1.1', this.clock.now(), this.clock.wall())
    info.upstreamHost = { ip: upstreamIp, port: 80 }
    info.upstreamTls = tls
    return info
  }

  inbound(given: Partial<InboundRequest> & { ids?: boolean } = {}): Stream {
    const n = ++this.#n
    const info = this.info()
    if (given.ids !== false) {
      info.traceId = `trace${n}`
      info.spanId = `span${n}`
    }
    info.requestId = `request${n}`
    const failures = this.locator.inboundStart({
      startMs: this.clock.now(),
      traceId: info.traceId,
      spanId: info.spanId,
      requestId: info.requestId,
      sampled: true,
      wireSpanId: 'wire',
      path: '/work',
      budgetMs: 0,
      peerIp: '10.0.0.1',
      tls: undefined,
      callerName: '',
      edge: false,
      ...given,
    })
    return new Stream(this, failures, info)
  }

  /** `routed: false`: this sidecar itself refuses the call before it has a route. */
  call(
    parent: Stream | undefined,
    to = 'd',
    given: { external?: boolean; ip?: string; edge?: boolean; routed?: boolean; requestId?: string } = {},
  ): Stream {
    const info = this.info(given.ip)
    const failures = this.locator.egressStart({
      startMs: this.clock.now(),
      info,
      traceId: parent?.info.traceId ?? '',
      parentSpanId: parent?.info.spanId ?? '',
      requestId: '',
      edge: given.edge ?? false,
    })
    const external = given.external ?? false
    if (given.routed !== false) {
      failures.routed(
        this.locator.target({ clusterName: to, serviceName: to, external }),
        given.requestId ?? 'r',
        '/d',
        'w',
      )
    }
    return new Stream(this, failures, info)
  }

  roles(): string[] {
    return this.locator.log.entries().map(entry => `${entry.role} ${entry.origin} ${entry.cause} ${entry.confidence}`)
  }
}

export class Stream {
  readonly sidecar: Sidecar
  readonly failures: StreamFailures
  readonly info: StreamInfo
  constructor(sidecar: Sidecar, failures: StreamFailures, info: StreamInfo) {
    this.sidecar = sidecar
    this.failures = failures
    this.info = info
  }

  /** The upstream answers, and the stream ends. */
  answer(status: number, headers = new Headers()): Headers {
    this.sidecar.clock.advance(1)
    this.failures.attemptHead(headers, status, this.info)
    this.info.responseCode = status
    this.info.responseCodeDetails = 'via_upstream'
    this.failures.responseHead(this.info, headers)
    this.end()
    return headers
  }

  local(status: number, details: string, flags = 0): Headers {
    this.sidecar.clock.advance(1)
    const headers = new Headers()
    this.info.responseCode = status
    this.info.responseCodeDetails = details
    this.info.responseFlags = flags
    this.info.localReply = true
    this.failures.responseHead(this.info, headers)
    this.end()
    return headers
  }

  refused(): Headers {
    this.failures.attemptFailed({ kind: 'connect_refused', details: 'ECONNREFUSED', host: '10.0.0.7:80' })
    return this.local(503, 'upstream_reset_before_response_started{remote_connection_failure}')
  }

  /** Its route's timer fires. */
  timedOut(): Headers {
    this.failures.attemptFailed({ kind: 'route_timeout', details: '' })
    return this.local(504, 'response_timeout', ResponseFlag.UpstreamRequestTimeout)
  }

  gone(): void {
    this.info.responseFlags |= ResponseFlag.DownstreamConnectionTermination
    this.end()
  }

  end(): void {
    this.info.endMs = this.sidecar.clock.now()
    this.failures.end(this.info)
  }
}

export const FROM_D: FailureRecord = {
  id: 'abcdef0123456789',
  origin: 'x',
  cause: 'app_error',
  subCause: '',
  by: 'x',
  link: 'x',
  path: ['x', 'd'],
  confidence: 'trace',
  likelihood: 1,
  span: '',
  at: 0,
  attempts: 1,
  details: '',
}

export function withRecord(record = FROM_D): Headers {
  const headers = new Headers()
  headers.set('proxy-status', serialiseRecord(record, record.path.at(-1)!))
  return headers
}
