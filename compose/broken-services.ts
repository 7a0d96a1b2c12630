/** Services that do not answer as they should, and sidecars that do not answer at all. */
import { callerOf, type Truth } from '../demo-services/catalogue.ts'
import { INSTANCES, type Service } from '../demo-services/layout.ts'
import type { Cause } from '../sidecar/failure-origin/record.ts'
import { asked, type Cell, CHAIN, EVERYWHERE, ends, fails, WAITING } from './cell.ts'

const DOWN_MS = 3500
/** What also shows while a process goes and comes. */
const GOING: readonly Cause[] = ['terminated', 'reset', 'partial_body', 'unreachable', 'no_healthy', 'connect_refused']

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

export const BROKEN: readonly Cell[] = [
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
    // Over gRPC the connection is of others as well.
    title: `${hop} resets ${hop === 'c' ? 'streams' : 'connections'}`,
    terms: [`${hop}=reset`],
    truth: fails(hop, 'reset', 'terminated'),
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
]

/** Nothing fails, or nobody sees it. */
export const QUIETLY_BROKEN: readonly Cell[] = [
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
