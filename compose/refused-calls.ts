/** What sidecars refuse: too much, too late, too large, not allowed, or nowhere to go. */
import { CALLEES } from '../demo-services/layout.ts'
import { CALLERS, type Cell, ends, fails, WAITING } from './cell.ts'

export const REFUSED: readonly Cell[] = [
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
  ...['a', 'c'].map(hop => ({
    title: `${hop} calls ${CALLEES[hop as 'a' | 'c']} and leaves it 1 ms`,
    terms: [`${hop}=deadline:1ms`],
    traffic: WAITING,
    truth: fails(hop, 'deadline_exceeded'),
  })),
  {
    title: 'callers leave the mesh 1 ms',
    terms: [],
    traffic: { ...WAITING, headers: { 'grpc-timeout': '1m' } },
    truth: fails('front', 'deadline_exceeded'),
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
  {
    // The others speak HTTP/2, and their libraries send no such head.
    title: 'a calls with a head of 100 kB where 60 are taken',
    terms: ['a=large-head'],
    truth: fails('a', 'too_large'),
    subCause: 'headers',
  },
  ...['a', 'd', 'outside'].map(hop => ({
    title: `${hop} answers with a head of 100 kB where 60 are taken`,
    terms: [`${hop}=large-answer`],
    truth: fails(hop, 'too_large'),
    subCause: 'headers',
  })),
  ...(
    [
      ['/shop/', 'timeout', 'which has to arrive within a second'],
      ['/shop/upload', 'stream_idle', 'and 0.5 s of silence are too much'],
      ['/shop/import', 'max_duration', 'which may take 0.7 s'],
    ] as const
  ).map(([path, cause, why]) => ({
    title: `callers stop in the middle of a request, ${why}`,
    terms: [],
    traffic: { path, bodyBytes: 1000, breaksOff: 'silent' as const },
    windowMs: 3000,
    truth: fails('front', cause),
  })),
  {
    title: 'callers go on with a request in what is no HTTP',
    terms: [],
    traffic: { bodyBytes: 1000, breaksOff: 'garbled' },
    truth: fails('front', 'protocol_error'),
  },
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
  {
    title: 'callers ask a for more than front lets through at once, which is two',
    terms: ['a=delay:700ms'],
    traffic: { rate: 7, path: '/shop/narrow' },
    truth: fails('front', 'circuit_open'),
    subCause: 'requests',
  },
  {
    title: 'a asks b for more than its sidecar lets through at once, which is two',
    terms: ['a=call:narrow', 'b=delay:700ms'],
    traffic: { rate: 7 },
    seldom: true,
    truth: fails('a', 'circuit_open'),
    subCause: 'requests',
  },
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
  ...(
    [
      ['front', '/ration'],
      ['a', '/shop/ration'],
    ] as const
  ).map(([hop, path]) => ({
    title: `callers ask ${hop} for more rations than it gives, which is one a minute`,
    terms: [],
    traffic: { path },
    truth: fails(hop, 'rate_limited'),
  })),
  ...CALLERS.map(hop => ({
    title: `${hop} asks ${CALLEES[hop]} for more rations than it gives, which is one a minute`,
    terms: [`${hop}=call:${CALLEES[hop]}/ration`],
    truth: fails(CALLEES[hop], 'rate_limited'),
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
  ]),
  {
    title: 'callers ask for a site that the edge does not have',
    terms: [],
    traffic: { headers: { host: 'elsewhere.example' } },
    truth: fails('front', 'no_route'),
  },
  {
    title: 'callers ask for what the edge has no cluster for',
    terms: [],
    traffic: { path: '/payments' },
    truth: fails('front', 'no_cluster'),
  },
  {
    title: 'callers ask for a WebSocket, which the edge does not let through',
    terms: [],
    traffic: { headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' } },
    truth: fails('front', 'denied'),
  },
  {
    title: "c asks d's forum for a page that it does not have",
    terms: ['c=call:forum'],
    truth: fails('d', 'no_route'),
  },
  {
    title: 'c asks d for what its sidecar has no cluster for',
    terms: ['c=call:d/payments'],
    truth: fails('d', 'no_cluster'),
  },
  {
    title: 'c asks d for a WebSocket, which only the sidecar of c lets through',
    terms: ['c=upgrade:socket'],
    truth: fails('d', 'denied'),
  },
  ...CALLERS.map(hop => ({
    title: `${hop}'s fault filter aborts its calls`,
    terms: [`${hop}=abort`],
    truth: fails(hop, 'fault_injected'),
    subCause: 'abort',
  })),
  ...['a', 'c'].map(hop => ({
    title: `${hop}'s fault filter holds its calls back until nobody waits for them`,
    terms: [`${hop}=detain:5s`],
    traffic: WAITING,
    windowMs: 4000,
    truth: fails(hop, 'fault_injected'),
    subCause: 'delay',
  })),
  {
    title: "front's fault filter answers for what is closed",
    terms: [],
    traffic: { path: '/closed' },
    truth: fails('front', 'fault_injected'),
  },
  {
    title: "d's fault filter answers for what is closed",
    terms: ['c=call:d/closed'],
    truth: fails('d', 'fault_injected'),
  },
]
