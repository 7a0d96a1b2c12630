/**
 * What `verify.ts` breaks, one after another, and what the truth then is: each class of failure at each service. A term is
 * one of `docker compose run break`; what a truth means is in `demo-services/catalogue.ts`.
 */
import type { Outcome, TrafficShape, Truth } from '../demo-services/catalogue.ts'
import type { Cause } from '../sidecar/failure-origin/record.ts'

export interface Cell {
  readonly title: string
  /** For `break`. */
  readonly terms: readonly string[]
  /** A container that is stopped. */
  readonly stopped?: string
  readonly traffic?: TrafficShape
  readonly truth: Truth
  /** How long it lasts. */
  readonly windowMs?: number
  /** It mends itself after this long: a process that was gone comes back. */
  readonly returnsMs?: number
  /** Not every request meets it, or its answer has no place for a record. */
  readonly seldom?: boolean
}

/**
 * b last: it copies no headers, so where requests overlap its sidecar goes by what it has seen of late, and b failing by
 * itself makes it believe that for a while.
 */
const CHAIN = ['a', 'c', 'd', 'b'] as const
const EVERYWHERE = ['a', 'c', 'd', 'outside', 'b'] as const
/** For what keeps requests waiting: more of them would fill the circuit breakers as well. */
const WAITING: TrafficShape = { rate: 5 }
const DOWN_MS = 3500
/** What also shows while a process goes and comes. */
const GOING: readonly Cause[] = ['terminated', 'reset', 'partial_body', 'unreachable', 'no_healthy', 'connect_refused']

const fails = (origin: string, first: Cause, ...others: readonly Cause[]): Truth => ({
  origin,
  causes: [first, ...others],
  outcomes: ['visible'],
})
const ends = (truth: Truth, ...outcomes: Outcome[]): Truth => ({ ...truth, outcomes })

export const CELLS: readonly Cell[] = [
  ...EVERYWHERE.map(hop => ({
    title: `${hop} answers 500`,
    terms: [`${hop}=500`],
    truth: fails(hop, 'app_error'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop} hangs`,
    terms: [`${hop}=hang`],
    traffic: WAITING,
    windowMs: 3500,
    truth:
      hop === 'outside'
        ? fails(hop, 'timeout', 'per_try_timeout')
        : fails(hop, 'app_timeout', 'timeout', 'per_try_timeout'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop} resets its connections`,
    terms: [`${hop}=reset`],
    // On a connection that is used again and again the end of it is seen, not how it came.
    truth: hop === 'c' ? fails(hop, 'terminated', 'reset') : fails(hop, 'reset', 'terminated'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop} closes its connections unanswered`,
    terms: [`${hop}=close`],
    truth: fails(hop, 'terminated', 'reset'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop} answers what is not its protocol`,
    terms: [`${hop}=garbage`],
    truth: fails(hop, 'protocol_error', 'reset', 'terminated'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop} cuts its answer short`,
    terms: [`${hop}=cut`],
    seldom: true,
    truth: fails(hop, 'partial_body', 'reset', 'terminated'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop}'s process ends`,
    terms: [`${hop}=crash:${DOWN_MS}ms`],
    windowMs: 3000,
    returnsMs: DOWN_MS,
    truth: hop === 'outside' ? fails(hop, 'connect_refused', ...GOING) : fails(hop, 'app_down', ...GOING),
  })),
  ...['c', 'd1'].map(hop => ({
    title: `${hop} runs out of memory`,
    terms: [`${hop}=memory:${hop === 'c' ? 40 : 16}`],
    windowMs: 3000,
    returnsMs: 2000,
    seldom: true,
    // Of three instances one is gone, and another answers in its stead where that may be tried.
    truth: ends(fails(hop.slice(0, 1), 'terminated', 'app_down', ...GOING), 'visible', 'retried'),
  })),
  ...['b', 'c'].map(hop => ({
    title: `${hop}'s sidecar is down`,
    terms: [],
    stopped: `${hop}-sidecar`,
    truth: fails(hop, 'connect_refused', ...GOING),
  })),
  {
    title: 'callers send 100 kB where 64 are taken',
    terms: [],
    traffic: { bodyBytes: 100_000 },
    truth: fails('front', 'too_large'),
  },
  ...['a', 'b', 'c'].map(hop => ({
    title: `${hop} sends 100 kB where 64 are taken`,
    terms: [`${hop}=large`],
    truth: fails(hop, 'too_large'),
  })),
  ...['b', 'c'].map(hop => ({
    title: `${hop} makes 40 calls at once, its circuit breaker lets 32 through`,
    terms: [`${hop}=flood`],
    seldom: true,
    traffic: { rate: 3 },
    windowMs: 3000,
    // Of the calls too many, one is the request's reason; the others show nowhere.
    truth: ends(fails(hop, 'circuit_open'), 'visible', 'masked'),
  })),
  {
    title: "80 requests a second, a's rate limit lets 30 through",
    terms: [],
    traffic: { rate: 80 },
    truth: fails('a', 'rate_limited'),
  },
  { title: 'a calls a host without a route', terms: ['a=call:nobody'], truth: fails('a', 'no_route') },
  { title: 'a calls a cluster that is not there', terms: ['a=call:payments'], truth: fails('a', 'no_cluster') },
  {
    title: 'a calls a name that does not exist',
    terms: ['a=call:ledger'],
    truth: fails('ledger', 'dns', 'no_healthy'),
  },
  { title: 'c calls who cannot show its name', terms: ['c=call:vault'], truth: fails('vault', 'tls') },
  { title: 'c calls where no way leads', terms: ['c=call:archive'], truth: fails('archive', 'unreachable') },
  { title: 'c calls what has no healthy host', terms: ['c=call:reports'], truth: fails('reports', 'no_healthy') },
  ...['b', 'c'].map(hop => ({
    title: `${hop}'s fault filter aborts its calls`,
    terms: [`${hop}=abort`],
    truth: fails(hop, 'fault_injected'),
  })),
  ...CHAIN.map(hop => ({
    title: `${hop} is slow by 300 ms, nothing fails`,
    terms: [`${hop}=delay:300ms`],
    // One at a time in each service, or whoever copies no headers cannot be told from those it calls.
    traffic: { rate: 2 },
    windowMs: 3500,
    truth: { origin: hop, causes: [], outcomes: ['slow'] } satisfies Truth,
  })),
  ...['c', 'd', 'outside'].map(hop => ({
    title: `${hop} answers 500 and ${hop === 'c' ? 'b' : 'c'} swallows it`,
    terms: [`${hop}=500`, `${hop === 'c' ? 'b' : 'c'}=swallow`],
    truth: ends(fails(hop, 'app_error'), 'masked'),
  })),
]
