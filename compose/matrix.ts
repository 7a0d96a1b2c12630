/**
 * Every class of failure at every service: a cell of `cells.ts` has that origin and that cause, or a reason stands here why
 * there can be none. `test/unit/demo/compose-matrix.test.ts` holds the two together.
 */
import type { Cause } from '../sidecar/failure-origin/record.ts'

export const ORIGINS = ['front', 'a', 'b', 'c', 'd', 'outside'] as const
export type Origin = (typeof ORIGINS)[number]

const NOT_CALLED = 'whoever calls front is outside of the mesh, without a sidecar that could blame it'
const NO_APPLICATION = 'front is a sidecar alone, without an application behind it'
const NO_SIDECAR = 'no sidecar stands beside the outside: whatever is wrong there its caller sees as something else'
const NO_POLICY = 'no sidecar stands beside the outside that could limit or refuse, and its own 4xx is no failure'
const CALLS_NOBODY = 'it calls nobody whom it could leave too little time'

const everywhere = (why: string): Record<Origin, string> => ({
  front: why,
  a: why,
  b: why,
  c: why,
  d: why,
  outside: why,
})

/** Why it cannot be. */
export const IMPOSSIBLE: Partial<Record<Cause, Partial<Record<Origin, string>>>> = {
  connect_refused: { front: NOT_CALLED },
  connect_timeout: { front: NOT_CALLED },
  unreachable: { front: NOT_CALLED },
  app_down: { front: NO_APPLICATION, outside: NO_SIDECAR },
  dns: { front: NOT_CALLED },
  tls: { front: NOT_CALLED },
  per_try_timeout: { front: NOT_CALLED },
  app_timeout: { front: NO_APPLICATION, outside: NO_SIDECAR },
  deadline_exceeded: { d: CALLS_NOBODY, outside: CALLS_NOBODY },
  reset: { front: NOT_CALLED },
  terminated: { front: NOT_CALLED },
  partial_body: { front: NOT_CALLED },
  app_error: { front: NO_APPLICATION },
  circuit_open: { outside: NO_POLICY },
  breaker_open: everywhere('there is no circuit breaker that opens at a rate of errors'),
  no_healthy: { front: NOT_CALLED },
  rate_limited: { outside: NO_POLICY },
  overloaded: everywhere('there is no overload manager'),
  fault_injected: { outside: NO_POLICY },
  denied: { outside: NO_POLICY },
  no_route: { outside: NO_POLICY },
  no_cluster: { outside: NO_POLICY },
  cancelled: everywhere('it has no origin: who goes away blames nobody, and a cell without an origin says that'),
  unknown: everywhere('it is what a foreign proxy in the mesh says without a reason, and here is none'),
}

/** Finer than the cause; each is met at some service. */
export const SUB_CAUSES: Partial<Record<Cause, readonly string[]>> = {
  tls: ['plaintext_peer', 'expired', 'san_mismatch', 'client_cert_required', 'unknown_ca', 'alpn'],
  no_healthy: ['all_ejected', 'health_failed'],
  fault_injected: ['abort', 'delay'],
}
