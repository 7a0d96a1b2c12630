/**
 * What `verify.ts` breaks, one after another, and what the truth then is: each class of failure at each service. A term is
 * one of `docker compose run break`; what a truth means is in `demo-services/catalogue.ts`.
 */
import { callerOf, type Outcome, type TrafficShape, type Truth } from '../demo-services/catalogue.ts'
import { CALLEES, INSTANCES, type Service } from '../demo-services/layout.ts'
import type { Cause } from '../sidecar/failure-origin/record.ts'

export interface Cell {
  readonly title: string
  /** For `break`. */
  readonly terms: readonly string[]
  /** Containers that are stopped. */
  readonly stopped?: readonly string[]
  /** Containers that stand still: what comes is taken by the kernel, and nobody answers. */
  readonly paused?: readonly string[]
  /** Another caller keeps this many requests open at the sidecar of an instance. */
  readonly burst?: { readonly of: string; readonly times: number }
  readonly traffic?: TrafficShape
  readonly truth: Truth
  /** Answers that are looked at, at the edge and inside. */
  readonly samples?: number
  /** How long it lasts. */
  readonly windowMs?: number
  /** It mends itself after this long: a process that was gone comes back. */
  readonly returnsMs?: number
  /** Of the record, where it is to say more than origin and cause. */
  readonly subCause?: string
  readonly details?: RegExp
  /** Who asked has given up before it could be told, so that only what all sidecars say together names the origin. */
  readonly heardLate?: boolean
  /** Not every request meets it, or its answer has no place for a record. */
  readonly seldom?: boolean
}

/**
 * b last: it copies no headers, so where requests overlap its sidecar goes by what it has seen of late, and b failing by
 * itself makes it believe that for a while.
 */
const CHAIN = ['a', 'c', 'd', 'b'] as const
const CALLERS = ['a', 'c', 'b'] as const
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

/** What each of them finds where the vault should be, and what the record has for that. */
const NO_VAULT = {
  a: ['has a certificate of an unknown authority', 'unknown_ca'],
  b: ['speaks no TLS', 'plaintext_peer'],
  c: ['cannot show its name', 'san_mismatch'],
} as const

/** Has somebody ask a hop for something besides its usual work. Each keeps requests waiting. */
interface Asked {
  readonly path: string
  /** Whoever asks; none where callers at the edge do. */
  readonly terms: readonly string[]
  readonly traffic: TrafficShape
}

/** What c takes over gRPC. */
const METHODS: Readonly<Record<string, string>> = { feed: 'Feed', quote: 'Quote' }

function asked(hop: string, what: string): Asked {
  const path = hop === 'c' ? `/hopwise.demo.Chain/${METHODS[what]}` : `/${what}`
  if (hop === 'a') return { path, terms: [], traffic: { ...WAITING, path: `/shop${path}` } }
  return { path, terms: [`${callerOf(hop)}=call:${hop}${path}`], traffic: WAITING }
}

/** Who keeps whom waiting for what: a hop `hang`s or `stall`s whenever it is asked for that, and for nothing else. */
function waitingFor(hop: string, what: string, how: string): Pick<Cell, 'terms' | 'traffic' | 'windowMs' | 'seldom'> {
  const { path, terms, traffic } = asked(hop, what)
  return { terms: [...terms, `${hop}=${how}:${path}`], traffic, windowMs: 3500, seldom: true }
}

const sidecarsOf = (hop: string) => INSTANCES[hop as Service].map(instance => `${instance}-sidecar`)

const sidecarDown = (hop: string): Cell => ({
  title: `${hop}'s sidecar is down`,
  terms: [],
  stopped: [`${hop}-sidecar`],
  // Nobody else takes calls into the mesh at a.
  seldom: hop === 'a',
  truth: fails(hop, 'connect_refused', ...GOING),
})

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
  ...['a', 'c'].map(sidecarDown),
  {
    title: "d's sidecars are down, all three: c has tried another",
    terms: [],
    stopped: ['d1-sidecar', 'd2-sidecar', 'd3-sidecar'],
    // Docker has work to do, on the same processors.
    traffic: { rate: 5 },
    windowMs: 3000,
    truth: { ...fails('d', 'connect_refused', ...GOING), attempts: 2 },
  },
  sidecarDown('b'),
  ...['d', 'outside'].map(hop => ({
    title: `${hop} answers 503, at every attempt`,
    terms: [`${hop}=503`],
    truth: { ...fails(hop, 'app_error'), attempts: 2 },
    details: /after 2 attempts \(app_error\): /,
  })),
  {
    title: 'outside hangs on /rates, at every attempt',
    terms: ['c=call:outside/rates', 'outside=hang:/rates'],
    traffic: WAITING,
    windowMs: 3500,
    seldom: true,
    truth: { ...fails('outside', 'per_try_timeout'), attempts: 2 },
    details: /after 2 attempts \(per_try_timeout\)/,
  },
  ...CHAIN.map(hop => ({
    ...waitingFor(hop, 'quote', 'hang'),
    title: `${hop} hangs when it is asked for a quote, at every attempt`,
    // Its sidecar is told how long an attempt may take, and answers first.
    truth: { ...fails(hop, 'app_timeout', 'per_try_timeout'), attempts: 2 },
    details: /after 2 attempts \((app_timeout|per_try_timeout)/,
  })),
  ...CHAIN.map(hop => {
    const { terms, traffic } = asked(hop, 'quote')
    return {
      title: `${hop}'s sidecar stands still, and no quote comes at any attempt`,
      terms,
      paused: sidecarsOf(hop),
      traffic,
      windowMs: 3500,
      seldom: hop === 'a',
      // What is asked of it besides has more time, and new connections have less.
      truth: { ...fails(hop, 'per_try_timeout', 'timeout', 'connect_timeout'), attempts: 2 },
      details: /after 2 attempts \(.*per_try_timeout/,
    }
  }),
  ...CHAIN.map(hop => ({
    title: `${hop}'s sidecar stands still`,
    terms: [],
    paused: sidecarsOf(hop),
    traffic: WAITING,
    windowMs: 4500,
    seldom: hop === 'a',
    truth: fails(hop, 'timeout', 'connect_timeout'),
  })),
  ...EVERYWHERE.map(hop => ({
    ...waitingFor(hop, 'feed', 'hang'),
    title: `${hop} says nothing on its feed`,
    truth: fails(hop, 'stream_idle'),
  })),
  ...EVERYWHERE.map(hop => ({
    ...waitingFor(hop, 'feed', 'stall'),
    title: `${hop} falls silent in the middle of its feed`,
    // a asks b over HTTP/1.1, where no record can follow a head: above b it is an answer that broke off.
    truth: hop === 'b' ? fails(hop, 'stream_idle', 'partial_body') : fails(hop, 'stream_idle'),
  })),
  ...['a', 'd', 'outside', 'b'].map(hop => ({
    ...waitingFor(hop, 'export', 'hang'),
    title: `${hop} does not come to an end with an export`,
    truth: fails(hop, 'max_duration'),
  })),
  {
    title: 'b gives c 800 ms over gRPC, c hangs',
    terms: ['b=deadline:800ms', 'c=hang'],
    traffic: WAITING,
    windowMs: 3500,
    // The application hears of its deadline too, and may be the first to give up.
    truth: fails('c', 'max_duration', 'app_timeout', 'app_error'),
  },
  {
    title: 'b calls c over gRPC when its deadline is all but over',
    terms: ['b=deadline:1ms'],
    traffic: WAITING,
    heardLate: true,
    truth: fails('b', 'deadline_exceeded', 'app_error'),
  },
  {
    title: 'callers go away after 150 ms, d takes 700: nobody is to be blamed',
    terms: ['d=delay:700ms'],
    traffic: { rate: 8, abortAfterMs: 150 },
    truth: { origin: undefined, causes: [], outcomes: ['cancelled'] },
  },
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
  ...(
    [
      ['c', 80, 64],
      ['b', 40, 32],
    ] as const
  ).map(([hop, calls, most]) => ({
    title: `${hop} makes ${calls} calls at once, its circuit breaker lets ${most} through`,
    terms: [`${hop}=flood:${calls}`],
    seldom: true,
    // Few of them, or the rate limits further on speak as well.
    traffic: { rate: 1 },
    samples: 2,
    windowMs: 5000,
    // Of the calls too many, one is the request's reason; the others show nowhere.
    truth: ends(fails(hop, 'circuit_open'), 'visible', 'masked'),
  })),
  ...['a', 'c', 'd1', 'b'].map(instance => {
    const hop = instance.slice(0, 1)
    return {
      title: `${instance} hangs with 180 requests of another caller, more than its sidecar's circuit breaker lets through`,
      terms: [`${instance}=hang`],
      burst: { of: instance, times: 180 },
      seldom: hop === 'd',
      // Two other instances of d answer in its stead.
      truth: ends(fails(hop, 'circuit_open', 'app_timeout', 'timeout'), 'visible', 'retried'),
    }
  }),
  ...[
    ['c', 'outside/rates', 'the rate limit of the outside lets 150 a second through'],
    ['c', 'd/healthz', 'its rate limit lets 200 a second through'],
    ['a', 'b/healthz', 'its rate limit lets 30 a second through'],
    ['b', 'c/healthz', 'its rate limit lets 150 a second through'],
  ].map(([hop = '', target, why]) => ({
    title: `${hop} calls ${target} 60 times for each request, ${why}`,
    terms: [`${hop}=spree:${target}`],
    // Few requests: it is their calls that are many.
    traffic: { rate: 4 },
    samples: 2,
    seldom: true,
    // Of the calls too many, one is the request's reason; the others show nowhere.
    truth: ends(fails(hop, 'rate_limited'), 'visible', 'masked'),
  })),
  ...CALLERS.flatMap(hop => [
    { title: `${hop} calls a host without a route`, terms: [`${hop}=call:nobody`], truth: fails(hop, 'no_route') },
    {
      title: `${hop} calls a cluster that is not there`,
      terms: [`${hop}=call:payments`],
      truth: fails(hop, 'no_cluster'),
    },
    {
      title: `${hop} asks for a WebSocket, which its sidecar does not let through`,
      terms: [`${hop}=upgrade:${CALLEES[hop]}`],
      truth: fails(hop, 'denied'),
    },
    {
      title: `${hop} calls a name that does not exist`,
      terms: [`${hop}=call:ledger`],
      truth: fails('ledger', 'dns', 'no_healthy'),
    },
    {
      title: `${hop} calls who ${NO_VAULT[hop][0]}`,
      terms: [`${hop}=call:vault`],
      truth: fails('vault', 'tls'),
      subCause: NO_VAULT[hop][1],
    },
    {
      title: `${hop} calls where no way leads`,
      terms: [`${hop}=call:archive`],
      truth: fails('archive', 'unreachable'),
    },
    {
      title: `${hop} calls who lets nobody connect`,
      terms: [`${hop}=call:warehouse`],
      truth: fails('warehouse', 'connect_timeout'),
    },
    {
      title: `${hop} calls what has no healthy host`,
      terms: [`${hop}=call:reports`],
      truth: fails('reports', 'no_healthy'),
    },
  ]),
  ...CALLERS.map(hop => ({
    title: `${hop}'s fault filter aborts its calls`,
    terms: [`${hop}=abort`],
    truth: fails(hop, 'fault_injected'),
  })),
  ...EVERYWHERE.map(hop => ({
    title: `${hop} is slow by 300 ms, nothing fails`,
    terms: [`${hop}=delay:300ms`],
    // One at a time in each service, or whoever copies no headers cannot be told from those it calls.
    traffic: { rate: 2 },
    windowMs: 3500,
    truth: { origin: hop, causes: [], outcomes: ['slow'] } satisfies Truth,
  })),
  ...['c', 'd', 'outside', 'b'].map(hop => ({
    title: `${hop} answers 500 and ${callerOf(hop)} swallows it`,
    terms: [`${hop}=500`, `${callerOf(hop)}=swallow`],
    truth: ends(fails(hop, 'app_error'), 'masked'),
  })),
]
