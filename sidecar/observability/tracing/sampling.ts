/**
 * Whether a request is traced, and why: Envoy's decision (`ConnectionManagerImpl`, `UUIDRequestIDExtension`).
 *
 * The reason travels in the 15th digit of `x-request-id`, so that every hop of a mesh decides alike: `4` none, `9`
 * sampled, `a` forced by a service, `b` forced by the client. An id that says one of the last three keeps it.
 */
import type { Random } from '../../base/random.ts'
import type { Counter, StatsScope } from '../stats.ts'
import type { TraceHeaders } from './propagation.ts'

export const TraceReason = {
  NotTraceable: 0,
  HealthCheck: 1,
  Sampling: 2,
  ServiceForced: 3,
  ClientForced: 4,
} as const
export type TraceReason = (typeof TraceReason)[keyof typeof TraceReason]

/** Percentages, 0 to 100; two decimals count. */
export interface SamplingRates {
  /** Of requests with `x-client-trace-id`. */
  readonly clientSampling: number
  readonly randomSampling: number
  /** Of all that would be traced. */
  readonly overallSampling: number
}

export const FULL_SAMPLING: SamplingRates = { clientSampling: 100, randomSampling: 100, overallSampling: 100 }

export interface SamplingSettings {
  readonly rates: SamplingRates
  /** Envoy: `UuidRequestIdConfig.pack_trace_reason`, true by default. */
  readonly packTraceReason: boolean
  /** Envoy: `use_request_id_for_trace_sampling`, true by default: the id is the lot, so that all hops draw the same. */
  readonly useRequestIdForSampling: boolean
}

/** The part of `filter-chain/`'s runtime that is asked here. */
export interface RuntimeNumbers {
  number(key: string, fallback: number): number
}

const PER_PERCENT = 100
const WHOLE = 100 * PER_PERCENT
const UUID_LENGTH = 36
/** Place of the reason in the id. */
const REASON_POSITION = 14

const REASON_OF_DIGIT: Readonly<Record<string, TraceReason>> = {
  '9': TraceReason.Sampling,
  a: TraceReason.ServiceForced,
  b: TraceReason.ClientForced,
}
const DIGIT_OF_REASON: readonly string[] = ['4', '4', '9', 'a', 'b']

/**
 * Decides, and writes the reason into `x-request-id`. A request whose id is no number is not traced, because its hops
 * could not agree; it keeps its id.
 */
export function decideTrace(
  headers: TraceHeaders,
  settings: SamplingSettings,
  rates: SamplingRates,
  runtime: RuntimeNumbers | undefined,
  random: Random,
): TraceReason {
  const requestId = headers.get('x-request-id')
  let lot: number
  if (settings.useRequestIdForSampling) {
    const number = requestId === undefined ? Number.NaN : requestIdNumber(requestId)
    if (Number.isNaN(number)) return TraceReason.NotTraceable
    lot = number
  } else lot = random.uint32()

  let reason = requestId === undefined ? TraceReason.NotTraceable : traceReasonOf(requestId)
  if (reason === TraceReason.NotTraceable) {
    if (
      headers.get('x-client-trace-id') !== undefined &&
      drawn('tracing.client_enabled', rates.clientSampling, random.uint32(), runtime)
    )
      reason = TraceReason.ClientForced
    else if (headers.get('x-envoy-force-trace') !== undefined) reason = TraceReason.ServiceForced
    else if (drawn('tracing.random_sampling', rates.randomSampling, lot, runtime)) reason = TraceReason.Sampling
  }
  if (reason !== TraceReason.NotTraceable && !drawn('tracing.global_enabled', rates.overallSampling, lot, runtime)) {
    reason = TraceReason.NotTraceable
  }
  if (settings.packTraceReason && requestId !== undefined) {
    const packed = packTraceReason(requestId, reason)
    if (packed !== requestId) headers.set('x-request-id', packed)
  }
  return reason
}

function drawn(key: string, percent: number, lot: number, runtime: RuntimeNumbers | undefined): boolean {
  const configured = Math.round(percent * PER_PERCENT)
  const numerator = runtime === undefined ? configured : runtime.number(key, configured)
  return lot % WHOLE < numerator
}

/** The reason an id carries; ids of other lengths carry none. */
export function traceReasonOf(requestId: string): TraceReason {
  if (requestId.length !== UUID_LENGTH) return TraceReason.NotTraceable
  return REASON_OF_DIGIT[requestId[REASON_POSITION]!] ?? TraceReason.NotTraceable
}

export function packTraceReason(requestId: string, reason: TraceReason): string {
  const digit = DIGIT_OF_REASON[reason]!
  if (requestId.length !== UUID_LENGTH || requestId[REASON_POSITION] === digit) return requestId
  return requestId.slice(0, REASON_POSITION) + digit + requestId.slice(REASON_POSITION + 1)
}

/** The first 32 bits of an id, NaN when these are not hex digits. */
export function requestIdNumber(requestId: string): number {
  let number = 0
  for (let i = 0; i < 8; i++) {
    const code = requestId.charCodeAt(i) | 0x20
    if (code >= 0x30 && code <= 0x39) number = number * 16 + code - 0x30
    else if (code >= 0x61 && code <= 0x66) number = number * 16 + code - 0x57
    else return Number.NaN
  }
  return number
}

/** `http.<stat_prefix>.tracing.*`. */
export class SamplingStats {
  readonly #byReason: readonly Counter[]

  /** `scope` is that of the connection manager. */
  constructor(scope: StatsScope) {
    const tracing = scope.scope('tracing')
    const names = ['not_traceable', 'health_check', 'random_sampling', 'service_forced', 'client_enabled']
    this.#byReason = names.map(name => tracing.counter(name))
  }

  count(reason: TraceReason): void {
    this.#byReason[reason]!.inc()
  }
}
