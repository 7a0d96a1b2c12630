/** What the two kinds of streams share: settings, clock, ledger, and the one place where a failure is written down. */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { FailureView, StreamInfo } from '../observability/stream-info.ts'
import { CalleeState } from './call-target.ts'
import { type Verdict, verdictOfDetails, verdictOfFacts } from './cause.ts'
import type { Claims } from './claim.ts'
import type { AttemptFacts } from './contract.ts'
import type { FailureLog } from './failure-log.ts'
import type { Ledger } from './ledger.ts'
import type { LedgerSharing } from './ledger-sharing.ts'
import type { FailureMetrics, LabelledCounter } from './metrics.ts'
import type { Confidence, FailureRecord, Role } from './record.ts'
import type { FailureOriginSettings } from './settings.ts'
import type { Trust } from './trust.ts'

const UNCOUNTED: LabelledCounter = { inc() {}, add() {} }

export class FailureContext {
  readonly settings: FailureOriginSettings
  readonly clock: Clock
  readonly random: Random
  readonly trust: Trust
  readonly ledger: Ledger
  readonly claims: Claims
  readonly log: FailureLog
  readonly metrics: FailureMetrics
  /**
   * Stands for whom a call was meant that this sidecar itself refused before it had a route: the application takes such
   * refusals in its own way, which is learned as for any callee. Nobody was called, so nothing is counted.
   */
  readonly refused: CalleeState
  /** Where other worker threads have parts of the same ledger. */
  sharing: LedgerSharing | undefined = undefined

  constructor(
    settings: FailureOriginSettings,
    clock: Clock,
    random: Random,
    trust: Trust,
    ledger: Ledger,
    claims: Claims,
    log: FailureLog,
    metrics: FailureMetrics,
  ) {
    this.settings = settings
    this.clock = clock
    this.random = random
    this.trust = trust
    this.ledger = ledger
    this.claims = claims
    this.log = log
    this.metrics = metrics
    const { service } = settings
    const nobody = { clusterName: '', serviceName: service, external: false }
    this.refused = new CalleeState(nobody, service, UNCOUNTED, [UNCOUNTED, UNCOUNTED])
  }

  /** Log and metric of this sidecar's part in a failure; gives the view for access log and span. */
  write(
    side: 'inbound' | 'outbound',
    role: Role,
    record: FailureRecord,
    aliases: readonly string[],
    info: StreamInfo | undefined,
    confidence: Confidence = record.confidence,
  ): FailureView {
    this.metrics.failure(role, record, confidence)
    this.log.add({
      seq: this.log.nextSeq(),
      at: this.clock.wall(),
      role,
      service: this.settings.service,
      side,
      id: record.id,
      aliases: aliases.filter(alias => alias !== '' && alias !== record.id),
      origin: record.origin,
      cause: record.cause,
      subCause: record.subCause,
      by: record.by,
      link: record.link,
      path: record.path,
      confidence,
      likelihood: record.likelihood,
      span: record.span,
      attempts: record.attempts,
      details: record.details,
      status: info?.responseCode ?? 0,
      grpcStatus: info?.grpcStatus ?? -1,
      requestId: info?.requestId ?? '',
      traceId: info?.traceId ?? '',
    })
    return {
      id: record.id,
      role,
      origin: record.origin,
      cause: record.cause,
      link: record.link,
      path: record.path.join(','),
      confidence,
    }
  }
}

/** `<trace>-<span>` of this sidecar's span, '' when it has none. */
export function spanOf(info: StreamInfo): string {
  return info.traceId === '' || info.spanId === '' ? '' : `${info.traceId}-${info.spanId}`
}

/**
 * A fault filter holds the request back, or did for longer than anybody has been waited for since: without it there would
 * have been time.
 */
export function isHeldBack({ startMs, delayedUntilMs }: StreamInfo, nowMs: number): boolean {
  if (delayedUntilMs === 0) return false
  return nowMs <= delayedUntilMs || delayedUntilMs - startMs >= nowMs - delayedUntilMs
}

const GONE = ResponseFlag.DownstreamConnectionTermination | ResponseFlag.DownstreamRemoteReset

/** The stream ended because whoever sent the request went away. */
export function isCallerGone(info: StreamInfo): boolean {
  return (info.responseFlags & GONE) !== 0 || info.responseCodeDetails === 'downstream_remote_disconnect'
}

const CUT =
  ResponseFlag.UpstreamConnectionTermination | ResponseFlag.UpstreamRemoteReset | ResponseFlag.UpstreamProtocolError

/** A response that had begun was broken off: by the upstream, or by this sidecar. */
export function isCut(info: StreamInfo): boolean {
  return (
    info.responseCodeDetails.startsWith('upstream_reset_after_response_started') ||
    (info.responseFlags & CUT) !== 0 ||
    isCutHere(info)
  )
}

/** Of the connection manager: its timers, and a bug of ours. The router's own cuts leave facts. */
const CUT_HERE: ReadonlySet<string> = new Set(['stream_idle_timeout', 'max_duration_timeout', 'internal_error'])

/** This sidecar broke off a response that had begun; before the head it would have answered instead. */
function isCutHere(info: StreamInfo): boolean {
  return !info.localReply && CUT_HERE.has(info.responseCodeDetails)
}

/** Why a response was broken off, as far as this sidecar knows; undefined where all it saw is that the upstream did it. */
export function verdictOfCut(
  info: StreamInfo,
  facts: AttemptFacts | undefined,
  toApplication: boolean,
): Verdict | undefined {
  if (facts !== undefined) return verdictOfFacts(facts, toApplication)
  return isCutHere(info) ? verdictOfDetails(info, toApplication) : undefined
}

/** `grpc-status` of a head or of trailers, -1 when there is none. */
export function grpcStatusIn(value: string | undefined): number {
  return value !== undefined && /^\d{1,2}$/.test(value) ? Number(value) : -1
}
