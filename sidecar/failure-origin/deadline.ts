/**
 * Budgets and derived ids.
 *
 * Timers along a chain must fire from the deepest sidecar upwards, or the one that knows least answers first. So each hop
 * keeps a margin of what it was given:
 *
 *     caller's timer ───────────────────────────────────────────────► R
 *     this ingress, application waits for a call ──────────────► R - margin/2   (its sidecars had their chance)
 *     calls of this request, and this ingress when nothing is in flight ──► R - margin
 *
 * The margin is max(20 ms, 2 %), but never more than a quarter of what is left: four hops under a timeout of 50 ms would
 * otherwise leave the last one nothing, where Envoy would have had an answer.
 */
import type { MutableHeaders } from './contract.ts'
import { letterFirst } from './record.ts'
import type { FailureOriginSettings } from './settings.ts'

const LARGEST_SHARE = 0.25

export function deadlineMargin(remainingMs: number, settings: FailureOriginSettings): number {
  const margin = Math.max(settings.marginMinMs, remainingMs * settings.marginFraction)
  return Math.min(margin, remainingMs * LARGEST_SHARE)
}

const GRPC_UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 }
/** gRPC over HTTP/2, "Timeout": at most eight digits and a unit. */
const GRPC_TIMEOUT = /^(\d{1,8})([HMSmun])$/

/** Milliseconds the caller waits, 0 when it does not say (or says nonsense). The smaller where it says both. */
export function budgetOf(headers: MutableHeaders): number {
  const expected = headers.get('x-envoy-expected-rq-timeout-ms')
  let budget = 0
  if (expected !== undefined && /^\d{1,9}$/.test(expected)) budget = Number(expected)
  const grpc = headers.get('grpc-timeout')
  if (grpc !== undefined) {
    const match = GRPC_TIMEOUT.exec(grpc)
    if (match !== null) {
      // A deadline that has passed already is sent as 0: the least that is not "none".
      const ms = Math.max(Number(match[1]) * GRPC_UNIT_MS[match[2]!]!, 0.001)
      budget = budget === 0 ? ms : Math.min(budget, ms)
    }
  }
  return budget
}

/**
 * The id both ends of a link come to on their own, for failures of which no record could cross it (a timer that fired
 * first, a cut after the head): the first 64 bits of SHA-256 over callee, x-request-id, span id on the wire and path.
 *
 * The callee and not the link, because over plaintext an ingress does not know who called. Span and path tell apart
 * parallel calls of one request whose application copies x-request-id; two identical untraced ones share an id, and are
 * merged. '' when there is no request id: then nothing can be derived.
 */
export function derivedId(callee: string, requestId: string, wireSpanId: string, path: string): string {
  if (requestId === '') return ''
  // Fetched with the first failure: 4 MB that a proxy without TLS and without failures does not need.
  const { hash } = process.getBuiltinModule('node:crypto')
  return letterFirst(hash('sha256', `${callee}\n${requestId}\n${wireSpanId}\n${path}`, 'hex').slice(0, 16))
}
