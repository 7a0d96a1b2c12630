/** What circuit breakers let through beside real Envoy: limits of one host, limits and budgets that the runtime overrides. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { waitFor } from '../kit/wait-for.ts'
import { bootstrap, cluster, httpListener, type Json } from './scenarios/bootstrap.ts'

interface Case {
  readonly name: string
  readonly breakers?: Json
  readonly runtime?: { readonly [key: string]: Json }
  /** Set on the running proxy, in the admin layer. */
  readonly modify?: string
  /** All requests are refused by the upstream, so that they are retried one after the other; else they run side by side. */
  readonly failing?: boolean
  /** What Envoy answers, in order. */
  readonly statuses: readonly number[]
}

const key = (name: string) => `circuit_breakers.app.default.${name}`

const CASES: readonly Case[] = [
  {
    name: 'per_host_thresholds: the second request waits for the connection',
    breakers: { per_host_thresholds: [{ max_connections: 1 }] },
    statuses: [200, 200, 200],
  },
  {
    name: 'per_host_thresholds of the other priority',
    breakers: { per_host_thresholds: [{ priority: 'HIGH', max_connections: 1 }] },
    statuses: [200, 200, 200],
  },
  {
    name: 'max_requests by the runtime',
    breakers: { thresholds: [{ max_requests: 100 }] },
    runtime: { [key('max_requests')]: 1 },
    statuses: [200, 503, 503],
  },
  {
    name: 'max_requests modified while it runs',
    breakers: { thresholds: [{ max_requests: 100 }] },
    modify: `${key('max_requests')}=2`,
    statuses: [200, 200, 503],
  },
  {
    name: 'max_connections and max_pending_requests by the runtime',
    runtime: { [key('max_connections')]: 1, [key('max_pending_requests')]: 1 },
    statuses: [200, 200, 503],
  },
  {
    name: 'a key of another priority and one that is no number',
    runtime: { 'circuit_breakers.app.high.max_requests': 0, [key('max_requests')]: 'many' },
    statuses: [200, 200, 200],
  },
  {
    name: 'max_retries by the runtime',
    failing: true,
    runtime: { [key('max_retries')]: 0 },
    statuses: [503, 503, 503],
  },
  {
    name: 'a retry budget',
    failing: true,
    breakers: { thresholds: [{ max_retries: 0, retry_budget: { min_retry_concurrency: 1 } }] },
    statuses: [503, 503, 503],
  },
  {
    name: 'a retry budget by the runtime',
    failing: true,
    breakers: { thresholds: [{ retry_budget: {} }] },
    runtime: { [key('retry_budget.min_retry_concurrency')]: 0 },
    statuses: [503, 503, 503],
  },
  {
    name: 'a retry budget that only the runtime has',
    failing: true,
    runtime: { [key('max_retries')]: 0, [key('retry_budget.budget_percent')]: 100 },
    statuses: [503, 503, 503],
  },
]

async function outcome(start: typeof startEnvoy, { breakers, runtime = {}, modify, failing }: Case) {
  await using upstream = await FakeUpstream.start()
  upstream.script = [failing === true ? { status: 503 } : { status: 200, body: 'ok', delayMs: 1500 }]
  const [listen, admin] = await freePorts(2)
  const route = { cluster: 'app', retry_policy: { retry_on: '5xx', num_retries: 2 } }
  const layers = [
    { name: 'static', static_layer: runtime },
    { name: 'admin', admin_layer: {} },
  ]
  const yaml = bootstrap({
    listeners: [httpListener({ name: 'main', routes: [{ match: { prefix: '/' }, route }] })],
    clusters: [cluster('app', String(upstream.port), breakers === undefined ? {} : { circuit_breakers: breakers })],
    more: `layered_runtime: ${JSON.stringify({ layers })}\n`,
  })
    .replaceAll('{{listen:main}}', String(listen))
    .replaceAll('{{admin}}', String(admin))
    .replaceAll('{{log}}', '/dev/null')
  await using proxy = await start(yaml, { adminPort: admin! })
  if (modify !== undefined) await proxy.admin(`/runtime_modify?${modify}`, 'POST')
  const limits = (await proxy.admin('/clusters'))
    .split('\n')
    .filter(line => /_priority::/.test(line))
    .sort()
  const answers: Promise<number>[] = []
  for (let i = 1; i <= 3; i++) {
    const answer = fetchRaw(listen!).then(({ status }) => status)
    answers.push(answer)
    if (failing === true) await answer
    // Once a request is counted, it has been let through, made to wait or refused.
    else
      await waitFor(async () => (await proxy.stats('downstream_rq_total')).get('http.main.downstream_rq_total') === i)
  }
  const statuses = await Promise.all(answers)
  const stats = await proxy.stats('^cluster\\.app\\.')
  const names = ['upstream_cx_overflow', 'upstream_rq_pending_overflow', 'upstream_rq_active_overflow']
  names.push('upstream_rq_total', 'upstream_rq_retry', 'upstream_rq_retry_overflow', 'upstream_rq_retry_limit_exceeded')
  return { statuses, limits, stats: names.map(name => `${name} ${stats.get(`cluster.app.${name}`)}`) }
}

for (const one of CASES) {
  test(one.name, async () => {
    const [envoy, hopwise] = await Promise.all([startEnvoy, startHopwise].map(start => outcome(start, one)))
    assert.deepEqual(envoy!.statuses, one.statuses)
    assert.deepEqual(hopwise, envoy)
  })
}
