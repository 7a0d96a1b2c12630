/**
 * The failure record: who began a failure, why, and how far the news has come. Made once, by the sidecar nearest to the
 * origin; every other sidecar passes it on with itself appended to the path and the confidence lowered to its own.
 */
import { hex64, type Random } from '../base/random.ts'

/** Vocabulary of causes (features.md §7.3). */
export const CAUSES = [
  'connect_refused',
  'connect_timeout',
  'unreachable',
  'app_down',
  'dns',
  'tls',
  'timeout',
  'per_try_timeout',
  'app_timeout',
  'stream_idle',
  'max_duration',
  'deadline_exceeded',
  'reset',
  'terminated',
  'partial_body',
  'protocol_error',
  'app_error',
  'circuit_open',
  'breaker_open',
  'no_healthy',
  'rate_limited',
  'overloaded',
  'fault_injected',
  'too_large',
  'denied',
  'no_route',
  'no_cluster',
  'cancelled',
  /** A foreign proxy's error of which nothing more is known. */
  'unknown',
] as const
export type Cause = (typeof CAUSES)[number]

const CAUSE_SET: ReadonlySet<string> = new Set(CAUSES)

export function isCause(text: string): text is Cause {
  return CAUSE_SET.has(text)
}

/**
 * How sure the way from origin to here is, best first. `link` says which link failed and no more (what lies beyond the
 * next hop is not known), which is true as far as it goes; `likely` may be wrong, so it ranks below.
 */
export const CONFIDENCES = ['exact', 'trace', 'unique', 'link', 'likely', 'none'] as const
export type Confidence = (typeof CONFIDENCES)[number]

export function isConfidence(text: string): text is Confidence {
  return (CONFIDENCES as readonly string[]).includes(text)
}

export function lowerConfidence(a: Confidence, b: Confidence): Confidence {
  return CONFIDENCES.indexOf(a) >= CONFIDENCES.indexOf(b) ? a : b
}

/**
 * What a failure was at one sidecar. `background`: a failed call that belongs to no inbound request. `masked`,
 * `retried`, `background` say where a failure ended without being seen by the caller, so that
 * Σ origin = visible + masked + retried + background.
 */
export type Role = 'origin' | 'propagated' | 'masked' | 'retried' | 'cancelled' | 'background'

export interface FailureRecord {
  /** 16 hex digits, the first of them a letter (see {@link newFailureId}). */
  readonly id: string
  /** Service blamed. */
  readonly origin: string
  readonly cause: Cause
  /** Finer than the cause, from a small vocabulary (`san_mismatch`, `pending`, `waiting_on`); '' for none. */
  readonly subCause: string
  /** Service whose sidecar made the record. */
  readonly by: string
  /** `c>d`; the service alone where no link took part. */
  readonly link: string
  /** From the origin to whoever emits the record, both included, at most {@link MAX_PATH}. */
  readonly path: readonly string[]
  readonly confidence: Confidence
  /** 1 / candidates where the confidence is `likely`, else 1. */
  readonly likelihood: number
  /** `<trace>-<span>` at the origin, '' where nothing is traced. */
  readonly span: string
  /** Wall clock, milliseconds. */
  readonly at: number
  /** Attempts made on the failed link, all of which failed. */
  readonly attempts: number
  /** What else is known, for `/failures` and for people; never sent. */
  readonly details: string
}

export const MAX_PATH = 8

/**
 * A new id. Its first digit is a letter, because the wire form writes ids without quotes, as the specification does, and
 * a structured field's token must begin with a letter (RFC 9651 §3.3.4): `5f2c…` would be a malformed number.
 */
export function newFailureId(random: Random): string {
  return letterFirst(hex64(random))
}

export function letterFirst(hex: string): string {
  const first = hex.charCodeAt(0)
  return first >= 0x61 ? hex : 'abcdefabcd'[first - 0x30]! + hex.slice(1)
}

/** The record as `service` passes it on, after a way of `confidence` (and `likelihood`, where that is `likely`). */
export function passedOn(
  record: FailureRecord,
  service: string,
  confidence: Confidence = 'exact',
  likelihood = 1,
): FailureRecord {
  const last = record.path.at(-1)
  const lowered = lowerConfidence(record.confidence, confidence)
  if (last === service && lowered === record.confidence) return record
  let path = record.path
  // A path that is full keeps its beginning, which is what it is read for, and its end, which says who speaks.
  if (last !== service) path = [...path.slice(0, MAX_PATH - 1), service]
  return { ...record, path, confidence: lowered, likelihood: Math.min(record.likelihood, likelihood) }
}

/** `connect_refused at d (c>d)`: the error text of spans. */
export function failureText(record: { cause: string; origin: string; link: string }): string {
  return record.link.includes('>')
    ? `${record.cause} at ${record.origin} (${record.link})`
    : `${record.cause} at ${record.origin}`
}

const PHRASES: Partial<Record<Cause, string>> = {
  connect_refused: 'is refusing connections',
  connect_timeout: 'does not accept connections in time',
  unreachable: 'cannot be reached',
  app_down: 'has a sidecar, but its application does not accept connections',
  dns: 'has a name that does not resolve',
  tls: 'could not be spoken to over TLS',
  timeout: 'did not answer in time',
  per_try_timeout: 'did not answer in time, at any attempt',
  app_timeout: 'did not answer in time, though it waited for nobody',
  reset: 'reset the connection',
  terminated: 'closed the connection before it answered',
  partial_body: 'broke off its answer',
  protocol_error: 'answered what is no valid HTTP',
  app_error: 'answered with an error of its own',
  circuit_open: 'limits its calls, and the limit was reached',
  breaker_open: 'holds back its calls, because too many had failed',
  no_healthy: 'has no healthy instance',
  rate_limited: 'limits the rate of requests',
  overloaded: 'is overloaded',
  fault_injected: 'injects faults on purpose',
  too_large: 'found a message too large',
  denied: 'does not allow this request',
  no_route: 'has no route for this request',
  no_cluster: 'routes to a cluster that does not exist',
}

/** One sentence for people, for local-reply bodies and pages. */
export function describeFailure(record: FailureRecord, nowWallMs: number): string {
  const what = PHRASES[record.cause] ?? `failed (${record.cause})`
  const seen = record.by === record.origin ? '' : `seen by ${record.by}, `
  return `${record.origin} ${what} (${seen}${Math.max(0, Math.round(nowWallMs - record.at))} ms ago, failure ${record.id})`
}
