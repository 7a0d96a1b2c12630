import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { createServer } from 'node:net'
import { after, test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { type ProxyProcess, temporaryFile } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

/** Tells which thread has served a request, and ends it in the ways a thread can end. Only tests load it. */
const WITNESS = temporaryFile(
  'witness.ts',
  `
import { threadId } from 'node:worker_threads'
const ends = {
  throw: () => setImmediate(() => { throw new Error('a bug that nobody caught') }),
  exit: () => process.exit(3),
  memory: () => { const kept = []; for (;;) kept.push(new Array(10000).fill(kept.length)) },
}
export const filter = {
  name: 'witness',
  typeUrl: 'test.Witness',
  decodeConfig: () => ({}),
  create: () => () => ({
    onRequestHeaders(stream, headers) {
      ends[headers.get('x-end')]?.()
      return 0
    },
    onResponseHeaders(stream, headers) {
      headers.set('x-thread', String(threadId))
      return 0
    },
  }),
}
`,
)

interface Parts {
  readonly filters?: string
  readonly cluster?: string
  readonly upstream: number
  readonly listeners?: string
  /** The retry policy of the route. */
  readonly retries?: string
}

function configuration(
  port: number,
  { filters = '', cluster = '', upstream, listeners = '', retries = '' }: Parts,
): string {
  return `
layered_runtime: { layers: [{ name: admin, admin_layer: {} }] }
static_resources:
  listeners:
${listener('in', port, filters, retries)}${listeners}
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 2s
${cluster}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstream} } } } }]
`
}

function listener(name: string, port: number, filters: string, retries = ''): string {
  return `  - name: ${name}
    traffic_direction: INBOUND
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { path: /here }, direct_response: { status: 200, body: { inline_string: here } } }
              - { match: { prefix: / }, route: { cluster: app, timeout: 60s, retry_policy: { ${retries} } } }
          http_filters:
${filters}          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`
}

const WITNESS_FILTER = `          - name: witness
            typed_config: { "@type": type.googleapis.com/test.Witness }
`

const proxies: ProxyProcess[] = []
after(async () => {
  for (const proxy of proxies) await proxy[Symbol.asyncDispose]()
})

async function start(workers: number, parts: Parts, options: { args?: string[]; env?: Record<string, string> } = {}) {
  const port = await freePort()
  const args = ['--concurrency', String(workers), ...(options.args ?? [])]
  const proxy = await startHopwise(configuration(port, parts), { ...options, args })
  proxies.push(proxy)
  return { proxy, port }
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly thread: string
}

/** One request; rejects where the connection ends before the answer. */
function get(
  port: number,
  path: string,
  agent: http.Agent | false,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: '127.0.0.1', agent, path, headers }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', text => {
        body += text
      })
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body, thread: String(response.headers['x-thread']) })
      })
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

async function stat(proxy: ProxyProcess, name: string): Promise<number> {
  const page = await proxy.admin(`/stats?filter=${encodeURIComponent(`^${name.replaceAll('.', '\\.')}$`)}`)
  return Number(/: (\d+)/.exec(page)?.[1] ?? Number.NaN)
}

test('connections spread over both workers, and every page is of both', async () => {
  await using upstream = await FakeUpstream.start(() => ({ status: 200, body: 'ok' }))
  const { proxy, port } = await start(2, { upstream: upstream.port })
  const CONNECTIONS = 640
  for (let i = 0; i < CONNECTIONS / 64; i++) {
    await Promise.all(Array.from({ length: 64 }, (_, n) => get(port, n % 2 === 0 ? '/here' : '/there', false)))
  }
  const shares = await Promise.all(
    [0, 1].map(worker => stat(proxy, `listener.127.0.0.1_${port}.worker_${worker}.downstream_cx_total`)),
  )
  assert.equal(shares[0]! + shares[1]!, CONNECTIONS)
  for (const share of shares) assert.ok(share >= 0.4 * CONNECTIONS && share <= 0.6 * CONNECTIONS, String(shares))

  assert.equal(await stat(proxy, 'http.in.downstream_rq_total'), CONNECTIONS)
  assert.equal(await stat(proxy, 'http.in.downstream_rq_2xx'), CONNECTIONS)
  assert.equal(await stat(proxy, 'cluster.app.upstream_rq_completed'), CONNECTIONS / 2)
  assert.equal(await stat(proxy, 'cluster.app.membership_total'), 1)
  assert.equal(await stat(proxy, 'server.concurrency'), 2)
  assert.match(
    await proxy.admin('/stats/prometheus'),
    new RegExp(`envoy_http_downstream_rq_time_count\\{envoy_http_conn_manager_prefix="in"\\} ${CONNECTIONS}\n`),
  )
  assert.match(await proxy.admin('/clusters'), new RegExp(`:${upstream.port}::rq_total::${CONNECTIONS / 2}\n`))
  assert.match(await proxy.admin('/listeners'), new RegExp(`^in::127\\.0\\.0\\.1:${port}\n$`))

  await proxy.admin('/reset_counters', 'POST')
  await get(port, '/here', false)
  assert.equal(await stat(proxy, 'http.in.downstream_rq_total'), 1)
})

test('a port that is not to be re-used belongs to the first worker, and nobody else gets it', async () => {
  const alone = await freePort()
  const exclusive = listener('alone', alone, '').replace('filter_chains', 'enable_reuse_port: false\n    filter_chains')
  const { proxy } = await start(2, { upstream: 1, listeners: exclusive })
  await Promise.all(Array.from({ length: 20 }, () => get(alone, '/here', false)))
  assert.equal(await stat(proxy, `listener.127.0.0.1_${alone}.worker_0.downstream_cx_total`), 20)
  const intruder = createServer()
  const error = await new Promise(resolve => {
    intruder.on('error', resolve)
    intruder.listen({ port: alone, host: '127.0.0.1', reusePort: true }, () => resolve(undefined))
  })
  intruder.close()
  assert.equal((error as NodeJS.ErrnoException | undefined)?.code, 'EADDRINUSE')
})

test('the operator speaks to all workers: runtime, health, logging, draining', async () => {
  await using upstream = await FakeUpstream.start(() => ({ status: 200, body: 'ok' }))
  const filters = `          - name: envoy.filters.http.fault
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
              abort: { http_status: 418, percentage: { numerator: 0 } }
          - name: envoy.filters.http.health_check
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck
              pass_through_mode: false
              headers: [{ name: ":path", string_match: { exact: /healthz } }]
`
  const { proxy, port } = await start(2, { upstream: upstream.port, filters })
  /** What the workers answer, each asked by many connections until the answer is one. */
  const settles = async (path: string, status: number) =>
    await waitFor(
      async () => {
        const answers = await Promise.all(Array.from({ length: 24 }, () => get(port, path, false)))
        return answers.every(answer => answer.status === status)
      },
      { what: `${status} for ${path} from all workers` },
    )
  await settles('/here', 200)
  await proxy.admin('/runtime_modify?fault.http.abort.abort_percent=100', 'POST')
  await settles('/here', 418)
  await proxy.admin('/runtime_modify?fault.http.abort.abort_percent=', 'POST')
  await settles('/here', 200)
  await proxy.admin('/healthcheck/fail', 'POST')
  await settles('/healthz', 503)
  await proxy.admin('/healthcheck/ok', 'POST')
  await settles('/healthz', 200)
  await proxy.admin('/drain_listeners', 'POST')
  await waitFor(
    () =>
      get(port, '/here', false).then(
        () => false,
        () => true,
      ),
    { what: 'closed listeners' },
  )
  await proxy.admin('/quitquitquit', 'POST')
  assert.equal(await proxy.process.exited, 0)
})

for (const workers of [2, 4]) {
  test(`${workers} workers: max_requests is the process's, to the one`, async () => {
    const held: (() => void)[] = []
    await using upstream = await FakeUpstream.start(async () => {
      await new Promise<void>(resolve => held.push(resolve))
      return { status: 200, body: 'ok' }
    })
    const cluster = '    circuit_breakers: { thresholds: [{ max_requests: 10, track_remaining: true }] }'
    const { proxy, port } = await start(workers, { upstream: upstream.port, cluster })
    for (let round = 1; round <= 3; round++) {
      const answers = Array.from({ length: 60 }, () => get(port, '/x', false))
      const refused = async () => (await stat(proxy, 'cluster.app.upstream_rq_active_overflow')) === 50 * round
      await waitFor(refused, { what: `50 refused in round ${round}` })
      assert.equal(held.length, 10)
      assert.equal(await stat(proxy, 'cluster.app.circuit_breakers.default.rq_open'), 1)
      assert.equal(await stat(proxy, 'cluster.app.circuit_breakers.default.remaining_rq'), 0)
      for (const release of held.splice(0)) release()
      const statuses = (await Promise.all(answers)).map(({ status }) => status)
      assert.deepEqual(
        [200, 503].map(wanted => statuses.filter(status => status === wanted).length),
        [10, 50],
      )
      const free = async () => (await stat(proxy, 'cluster.app.circuit_breakers.default.remaining_rq')) === 10
      await waitFor(free, { what: 'everything given back' })
    }
  })

  test(`${workers} workers: a token bucket is the process's, to the token`, async () => {
    await using upstream = await FakeUpstream.start()
    const bucket = (tokens: number) => `{ max_tokens: ${tokens}, tokens_per_fill: 1, fill_interval: 36000s }`
    const all = '{ default_value: { numerator: 100 } }'
    const filters = `          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: ${bucket(40)}
              filter_enabled: ${all}
              filter_enforced: ${all}
              always_consume_default_token_bucket: false
              rate_limits: [{ actions: [{ request_headers: { header_name: x-user, descriptor_key: user } }] }]
              descriptors: [{ entries: [{ key: user }], token_bucket: ${bucket(7)} }]
`
    const { proxy, port } = await start(workers, { upstream: upstream.port, filters })
    const passed = async (count: number, headers: Record<string, string>) => {
      const answers = await Promise.all(Array.from({ length: count }, () => get(port, '/here', false, headers)))
      return answers.filter(({ status }) => status === 200).length
    }
    assert.equal(await passed(120, {}), 40)
    for (const user of ['ann', 'bob']) assert.equal(await passed(60, { 'x-user': user }), 7)
    assert.equal(await stat(proxy, 'limit.http_local_rate_limit.ok'), 54)
  })
}

/** Connections of which it is known which worker has them; each carries one request at a time. */
class Connections {
  readonly #port: number
  readonly #idle = new Map<string, http.Agent[]>()
  /** Answers with 200, but for those of {@link send}. */
  served = 0

  constructor(port: number) {
    this.#port = port
  }

  /** Opens connections until `workers` of them have `each` or more; gives the threads. */
  async open(workers: number, each: number): Promise<string[]> {
    const enough = () => [...this.#idle].filter(([, agents]) => agents.length >= each).map(([thread]) => thread)
    while (enough().length < workers) {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      const { status, thread } = await get(this.#port, '/here', agent)
      assert.equal(status, 200)
      this.served++
      this.#idle.set(thread, [...(this.#idle.get(thread) ?? []), agent])
    }
    return enough()
  }

  /** Sends a request through the worker; the result takes it back. */
  send(thread: string, path: string, headers: Record<string, string> = {}): () => void {
    const agent = this.#idle.get(thread)!.pop()!
    get(this.#port, path, agent, headers).catch(() => {})
    return () => agent.destroy()
  }

  async ask(thread: string, path: string): Promise<Answer> {
    const agents = this.#idle.get(thread)!
    const answer = await get(this.#port, path, agents[0]!)
    assert.equal(answer.thread, thread)
    if (answer.status === 200) this.served++
    return answer
  }

  /** Ends the worker by a bug. */
  async end(thread: string, proxy: ProxyProcess): Promise<void> {
    this.send(thread, '/here', { 'x-end': 'throw' })
    await proxy.process.waitForLine(/"the worker has been replaced/, 30_000)
  }

  [Symbol.dispose](): void {
    for (const agent of [...this.#idle.values()].flat()) agent.destroy()
  }
}

/** Of three in each case: how it is configured, how many are in use, and how often it was refused. */
const LIMITS = [
  {
    limit: 'max_pending_requests',
    cluster: 'circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 3 }] }',
    inUse: 'cluster.app.upstream_rq_pending_active',
    refused: 'cluster.app.upstream_rq_pending_overflow',
  },
  {
    limit: 'max_retries',
    cluster: 'circuit_breakers: { thresholds: [{ max_retries: 3, track_remaining: true }] }',
    remaining: 'cluster.app.circuit_breakers.default.remaining_retries',
    refused: 'cluster.app.upstream_rq_retry_overflow',
  },
  {
    limit: 'per_host_thresholds.max_connections',
    cluster: 'circuit_breakers: { per_host_thresholds: [{ max_connections: 3 }] }',
    inUse: 'cluster.app.upstream_cx_active',
    refused: 'cluster.app.upstream_cx_overflow',
  },
  {
    limit: 'max_active_faults',
    filters: `          - name: envoy.filters.http.fault
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
              delay: { fixed_delay: 3600s, percentage: { numerator: 100 } }
              headers: [{ name: x-fault, present_match: true }]
              max_active_faults: 3
`,
    inUse: 'http.in.fault.active_faults',
    refused: 'http.in.fault.faults_overflow',
  },
]

for (const { limit, cluster = '', filters = '', inUse, remaining, refused } of LIMITS) {
  test(`${limit} is the process's, to the one, and what a dead worker held of it is free again`, async () => {
    const failed = new Set<string>()
    await using upstream = await FakeUpstream.start(async ({ target }) => {
      // Where retries are counted it is the second attempt that stays.
      if (limit === 'max_retries' && !failed.has(target)) {
        failed.add(target)
        return { status: 503, body: 'no' }
      }
      return await new Promise(() => {})
    })
    const parts = { upstream: upstream.port, filters: WITNESS_FILTER + filters, retries: 'retry_on: 5xx' }
    const { proxy, port } = await start(2, { ...parts, cluster: `    ${cluster}` }, { args: ['--extension', WITNESS] })
    using connections = new Connections(port)
    const [one, two] = (await connections.open(2, 8)) as [string, string]
    let sent = 0
    const send = (thread: string) => connections.send(thread, `/${++sent}`, { 'x-fault': '1' })
    const used = async () => (inUse === undefined ? 3 - (await stat(proxy, remaining)) : await stat(proxy, inUse))
    const waitUntilUsed = (count: number) =>
      waitFor(async () => (await used()) === count, { what: `${count} of the limit in use` })
    const expectRefusal = async (thread: string) => {
      const before = await stat(proxy, refused)
      const takeBack = send(thread)
      await waitFor(async () => (await stat(proxy, refused)) > before, { what: `a refusal: ${refused}` })
      assert.equal(await used(), 3)
      takeBack()
    }
    if (limit === 'max_pending_requests') {
      // Both have the connection that a pool may always open, and no other one.
      for (const thread of [one, two]) send(thread)
      await waitFor(() => upstream.requests.length === 2, { what: 'a request in flight in both' })
    }
    for (const [count, thread] of [one, two, one].entries()) {
      send(thread)
      await waitUntilUsed(count + 1)
    }
    await expectRefusal(one)
    await expectRefusal(two)
    await connections.end(one, proxy)
    await waitUntilUsed(1)
    for (const count of [2, 3]) {
      send(two)
      await waitUntilUsed(count)
    }
    await expectRefusal(two)
  })
}

test('what a dead worker has taken from a token bucket stays taken, and its successor finds the rest', async () => {
  await using upstream = await FakeUpstream.start()
  const all = '{ default_value: { numerator: 100 } }'
  const filters = `${WITNESS_FILTER}          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: { max_tokens: 200, tokens_per_fill: 1, fill_interval: 36000s }
              filter_enabled: ${all}
              filter_enforced: ${all}
`
  const { proxy, port } = await start(2, { upstream: upstream.port, filters }, { args: ['--extension', WITNESS] })
  using connections = new Connections(port)
  const [one, two] = (await connections.open(2, 8)) as [string, string]
  await connections.end(one, proxy)
  const threads = await connections.open(3, 1)
  const third = threads.find(thread => thread !== one && thread !== two)!
  for (let n = 0; (await connections.ask(n % 2 === 0 ? third : two, '/here')).status === 200; n++);
  // The request that ended the worker had its token as well.
  assert.equal(connections.served + 1, 200)
})

for (const [end, reason] of [
  ['throw', 'error'],
  ['exit', 'error'],
  ['memory', 'memory'],
] as const) {
  test(`a worker that dies under load (${end}) loses its own connections alone, and is replaced`, async t => {
    await using upstream = await FakeUpstream.start(async request => {
      if (request.target === '/hang') await new Promise(() => {})
      return { status: 200, body: 'ok' }
    })
    const cluster = '    circuit_breakers: { thresholds: [{ max_requests: 100, track_remaining: true }] }'
    const { proxy, port } = await start(
      2,
      { upstream: upstream.port, cluster, filters: WITNESS_FILTER },
      { args: ['--extension', WITNESS], env: { NODE_OPTIONS: '--max-old-space-size=96' } },
    )
    const remaining = () => stat(proxy, 'cluster.app.circuit_breakers.default.remaining_rq')
    const lost: string[] = []
    let running = true
    let served = 0
    const threads = new Set<string>()
    const client = async () => {
      let agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      let thread = 'new connection'
      for (let n = 1; running; n++) {
        // From time to time another connection, which another worker may get.
        if (n % 25 === 0) {
          agent.destroy()
          agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
          thread = 'new connection'
        }
        try {
          const answer = await get(port, '/x', agent)
          assert.equal(answer.status, 200)
          ;({ thread } = answer)
          threads.add(thread)
          served++
        } catch {
          lost.push(thread)
          thread = 'new connection'
        }
      }
      agent.destroy()
    }
    const clients = Array.from({ length: 12 }, client)
    t.after(() => {
      running = false
    })
    await waitFor(() => threads.size === 2 && served > 100, { what: 'both workers at work' })
    // Requests in flight in both, so that the one that dies holds some of the limit.
    const hanging = Array.from({ length: 16 }, () => get(port, '/hang', false).catch(() => 'cut'))
    await waitFor(() => upstream.requests.filter(({ target }) => target === '/hang').length === 16, {
      what: 'requests in flight',
    })
    const before = await stat(proxy, 'http.in.downstream_rq_total')
    const first = [...threads]

    await get(port, '/x', false, { 'x-end': end }).catch(() => {})
    await proxy.process.waitForLine(/"a worker has died/, 30_000)
    await proxy.process.waitForLine(/"the worker has been replaced/, 30_000)
    const reached = served + 200
    await waitFor(() => served > reached && threads.size === 3, { what: 'the new worker at work', deadlineMs: 20_000 })
    running = false
    await Promise.all(clients)

    const dead = first.filter(thread => lost.includes(thread))
    assert.ok(dead.length <= 1, `only one worker's connections were lost: ${lost}`)
    // A connection that waited to be accepted by it is lost as well; none has more than one.
    assert.ok(lost.length <= 12, `${lost.length} lost`)
    const cut = (await Promise.all(hanging.map(one => Promise.race([one, 'alive'])))).filter(
      one => one === 'cut',
    ).length
    // What the dead worker held has been given back, what the other one holds has not.
    await waitFor(async () => (await remaining()) === 100 - (16 - cut), {
      what: `${16 - cut} requests counted as in flight`,
    })
    assert.ok((await stat(proxy, 'http.in.downstream_rq_total')) >= before, 'no counter has fallen')
    const deaths = await proxy.admin('/stats/prometheus')
    assert.match(deaths, new RegExp(`hopwise_worker_deaths_total\\{worker="[01]",reason="${reason}"\\} 1\n`))
    if (end === 'throw') assert.match(proxy.process.output, /a bug that nobody caught.*witness\.ts/s)
    if (end === 'exit') assert.ok(cut > 0, 'the worker had requests in flight')
  })
}

test('a configuration that one worker cannot take is taken by none', async () => {
  await using upstream = await FakeUpstream.start()
  const { proxy, port } = await start(2, { upstream: upstream.port }, { args: ['--no-watch'] })
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => taken.once('listening', resolve))
  const { port: busy } = taken.address() as { port: number }
  const free = await freePort()
  const next = configuration(port, {
    upstream: upstream.port,
    listeners: listener('free', free, '') + listener('busy', busy, ''),
  })
  writeFileSync(proxy.configPath, next.replaceAll('inline_string: here', 'inline_string: changed'))
  proxy.process.signal('SIGHUP')
  await proxy.process.waitForLine(/configuration not reloaded: cannot listen on .*in use/)
  const bodies = await Promise.all(Array.from({ length: 24 }, async () => (await get(port, '/here', false)).body))
  assert.deepEqual(new Set(bodies), new Set(['here']))
  await assert.rejects(get(free, '/here', false), /ECONNREFUSED/)
  taken.close()
  proxy.process.signal('SIGHUP')
  await proxy.process.waitForLine('"configuration reloaded"')
  const after = await Promise.all(
    Array.from({ length: 24 }, async (_, i) => (await get(i % 2 ? port : busy, '/here', false)).body),
  )
  assert.deepEqual(new Set(after), new Set(['changed']))
})
