import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdminHandler, type AdminOptions } from '../../../sidecar/admin/admin-handler.ts'
import { ok, respond, text } from '../../../sidecar/admin/message.ts'
import { bodyText, cluster, FakeControl, host, request } from './fake-control.ts'

function server(options: AdminOptions = {}) {
  const control = new FakeControl()
  const handler = new AdminHandler(control, options)
  const call = async (line: string, headers = {}, body = '') => {
    const response = await handler.handle(request(line, headers, body))
    return {
      status: response.status,
      contentType: response.contentType,
      headers: response.headers,
      text: await bodyText(response),
    }
  }
  return { control, call }
}

test('every answer forbids caching and guessing', async () => {
  const { call } = server()
  for (const line of ['GET /ready', 'GET /nope', 'GET /quitquitquit', 'GET /stats?format=x']) {
    assert.deepEqual((await call(line)).headers, [
      ['cache-control', 'no-cache, max-age=0'],
      ['x-content-type-options', 'nosniff'],
    ])
  }
})

test('/ready and /healthz/ready are 200 only when LIVE, /live always', async () => {
  const { control, call } = server()
  assert.deepEqual([(await call('GET /ready')).status, (await call('GET /ready')).text], [200, 'LIVE\n'])
  for (const state of ['PRE_INITIALIZING', 'INITIALIZING', 'DRAINING'] as const) {
    control.current = state
    assert.deepEqual([(await call('GET /ready')).status, (await call('GET /ready')).text], [503, `${state}\n`])
    assert.equal((await call('GET /healthz/ready')).status, 503)
    assert.equal((await call('GET /live')).status, 200)
  }
})

test('what changes something takes POST only', async () => {
  const { control, call } = server()
  const mutations = [
    '/quitquitquit',
    '/healthcheck/fail',
    '/healthcheck/ok',
    '/reset_counters',
    '/drain_listeners',
    '/logging',
    '/runtime_modify',
    '/reopen_logs',
    '/cpuprofiler',
    '/heap_dump',
    '/stats/recentlookups/clear',
  ]
  for (const path of mutations) {
    const refused = await call(`GET ${path}`)
    assert.deepEqual([refused.status, refused.text], [405, 'Method GET not allowed, POST required.'])
  }
  assert.equal(control.asked.length, 0)
  for (const path of [
    '/healthcheck/fail',
    '/healthcheck/ok',
    '/reopen_logs',
    '/quitquitquit',
    '/drain_listeners?graceful&inboundonly',
  ]) {
    assert.deepEqual([(await call(`POST ${path}`)).status, (await call(`POST ${path}`)).text], [200, 'OK\n'])
  }
  assert.ok(control.asked.includes('quit'))
  assert.ok(control.asked.includes('drain {"graceful":true,"inboundOnly":true,"skipExit":false}'))
})

test('an unknown path gets the help, and the nearest path there is', async () => {
  const { call } = server()
  const unknown = await call('GET /clustres')
  assert.equal(unknown.status, 404)
  assert.ok(unknown.text.startsWith('invalid path. admin commands are:\n  /: Admin home page\n'))
  assert.ok(unknown.text.endsWith('did you mean /clusters?\n'))
  assert.equal((await call('GET /something-else')).text.includes('did you mean'), false)
})

test('/help lists the endpoints sorted, with verb and parameters', async () => {
  const help = (await server().call('GET /help')).text
  assert.ok(help.includes('  /quitquitquit (POST): exit the server\n'))
  assert.ok(
    help.includes('      type: Stat types to include.; One of (All, Counters, Gauges, Histograms, TextReadouts)\n'),
  )
  const paths = [...help.matchAll(/^ {2}(\/\S*?):? /gm)].map(match => match[1])
  assert.deepEqual(paths, paths.toSorted())
})

test('allow_paths shuts every other path', async () => {
  const { call } = server({ allowPaths: [{ exact: '/ready' }, { prefix: '/stats' }] })
  assert.equal((await call('GET /ready')).status, 200)
  assert.equal((await call('GET /stats/prometheus')).status, 200)
  const refused = await call('POST /quitquitquit')
  assert.deepEqual([refused.status, refused.text], [403, 'request to path /quitquitquit not allowed'])
})

test('a page that fails says so and leaves the others alone', async () => {
  const { call } = server({
    endpoints: [
      {
        path: '/throws',
        help: '',
        handle: () => {
          throw new Error('inner')
        },
      },
      { path: '/rejects', help: '', handle: () => Promise.reject(new Error('inner')) },
    ],
  })
  assert.match((await call('GET /throws')).text, /^Error: inner/)
  assert.equal((await call('GET /rejects')).status, 500)
  assert.equal((await call('GET /ready')).status, 200)
})

test('/ is a list of the endpoints until there is a page for people', async () => {
  const plain = await server().call('GET /')
  assert.equal(plain.contentType, 'text/html; charset=UTF-8')
  assert.ok(plain.text.includes("<form action='quitquitquit' method='post'"))
  assert.ok(plain.text.includes("<a href='ready'>ready</a>"))
  const { call } = server({ pages: { page: path => (path === '/' ? respond(200, 'text/html', 'graph') : undefined) } })
  assert.equal((await call('GET /')).text, 'graph')
  assert.equal((await call('GET /ready')).text, 'LIVE\n')
})

test('further endpoints can be given, also for whole folders', async () => {
  const endpoints = [{ path: '/tap', help: 'tap', below: true, handle: ({ path }: { path: string }) => text(path) }]
  const { call } = server({ endpoints })
  assert.equal((await call('GET /tap/c/d')).text, '/tap/c/d')
  assert.equal((await call('GET /tapx')).status, 404)
  assert.equal(ok().status, 200)
})

test('/stats in its formats, and what it refuses', async () => {
  const { control, call } = server()
  control.store.counter('cluster.b.upstream_rq_total').add(2)
  control.store.gauge('server.live').set(1)
  assert.equal((await call('GET /stats')).text, 'cluster.b.upstream_rq_total: 2\nserver.live: 1\n')
  assert.equal((await call('GET /stats?filter=^server\\.')).text, 'server.live: 1\n')
  assert.equal((await call('GET /stats?filter=^server&invert_filter')).text, 'cluster.b.upstream_rq_total: 2\n')
  assert.equal((await call('GET /stats?usedonly=&filter=&format=&type=&histogram_buckets=')).status, 200)
  const json = await call('GET /stats?format=json&type=Gauges')
  assert.equal(json.contentType, 'application/json')
  assert.equal(json.text, '{"stats":[{"name":"server.live","value":1}]}')
  assert.match((await call('GET /stats?format=html')).text, /<pre>cluster\.b/)
  assert.match((await call('GET /stats?format=prometheus')).text, /^# TYPE envoy_cluster_upstream_rq_total counter/)
  for (const [query, problem] of [
    ['format=foo', 'usage: /stats?format=(html|active-html|json|prometheus|text)'],
    ['type=Foo', 'invalid &type= param'],
    ['histogram_buckets=foo', 'usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)'],
    ['filter=(', 'Invalid re2 regex: missing ): ('],
  ]) {
    const refused = await call(`GET /stats?${query}`)
    assert.deepEqual([refused.status, refused.text.trim()], [400, problem])
  }
  await call('POST /reset_counters')
  assert.equal((await call('GET /stats')).text, 'cluster.b.upstream_rq_total: 0\nserver.live: 1\n')
})

test('/stats/prometheus answers in the format the scraper prefers', async () => {
  const { control, call } = server()
  control.store.gauge('server.live').set(1)
  const plain = await call('GET /stats/prometheus')
  assert.equal(plain.contentType, 'text/plain; version=0.0.4; charset=utf-8')
  const open = await call('GET /stats/prometheus', { accept: 'application/openmetrics-text;version=1.0.0' })
  assert.equal(open.contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  assert.ok(open.text.endsWith('# EOF\n'))
  assert.equal((await call('GET /stats/prometheus?histogram_buckets=detailed')).status, 400)
  assert.equal((await call('GET /stats/prometheus?filter=(')).status, 400)
})

test('process metrics are on the page when asked for, and not in a filtered one', async () => {
  const { call } = server({ processMetrics: true })
  assert.match((await call('GET /stats/prometheus')).text, /^process_cpu_seconds_total /m)
  assert.equal((await call('GET /stats/prometheus?filter=x')).text, '')
  assert.equal((await server().call('GET /stats/prometheus')).text, '')
})

test('a long scrape is written piece by piece', async () => {
  const { control, call } = server()
  for (let i = 0; i < 400; i++) control.store.histogram(`cluster.c${i}.upstream_rq_time`).record(1)
  const scrape = await call('GET /stats/prometheus')
  assert.equal(scrape.text.split('\n').length, 400 * 22 + 2)
})

test('/clusters prints hosts with their counters, flags and place', async () => {
  const { control, call } = server()
  const outlier = {
    successRateAverage: -1,
    successRateEjectionThreshold: 62.5,
    localOriginSuccessRateAverage: -1,
    localOriginSuccessRateEjectionThreshold: -1,
  }
  control.clusterViews = [
    cluster('orders', {
      outlier,
      edsServiceName: 'orders-eds',
      hosts: [
        host(80, {
          weight: 3,
          region: 'r',
          health: { failedActiveHealthCheck: true, failedOutlierCheck: true, edsStatus: 'HEALTHY' },
        }),
      ],
    }),
    cluster('pay'),
  ]
  const page = (await call('GET /clusters')).text
  assert.ok(page.startsWith('orders::observability_name::orders\norders::outlier::success_rate_average::-1\n'))
  assert.ok(page.includes('orders::added_via_api::false\norders::eds_service_name::orders-eds\n'))
  assert.ok(page.includes('orders::127.0.0.1:80::health_flags::/failed_active_hc/failed_outlier_check\n'))
  assert.ok(page.includes('orders::127.0.0.1:80::weight::3\n'))
  assert.equal((await call('GET /clusters?filter=^pa')).text.split('::')[0], 'pay')
  assert.deepEqual(
    [(await call('GET /clusters?filter=(')).status, (await call('GET /clusters?filter=(')).text],
    [400, 'Invalid re2 regex'],
  )
  const json = JSON.parse((await call('GET /clusters?format=json')).text)
  const [orders, pay] = json.cluster_statuses
  assert.deepEqual(orders.success_rate_ejection_threshold, { value: 62.5 })
  assert.equal(orders.host_statuses[0].health_status.failed_active_health_check, true)
  assert.equal('host_statuses' in pay, false)
})

test('/listeners prints every address', async () => {
  const { control, call } = server()
  control.listenerViews = [
    { name: 'in', local: { ip: '::1', port: 80 }, additional: [{ ip: '/run/in.sock', port: 0 }] },
  ]
  assert.equal((await call('GET /listeners')).text, 'in::[::1]:80\nin::/run/in.sock\n')
  assert.deepEqual(JSON.parse((await call('GET /listeners?format=json')).text).listener_statuses[0], {
    name: 'in',
    local_address: { socket_address: { address: '::1', port_value: 80 } },
    additional_local_addresses: [{ pipe: { path: '/run/in.sock' } }],
  })
})

test('/config_dump: resource, mask and name_regex', async () => {
  const { control, call } = server()
  const static_clusters = ['orders', 'pay.ments'].map(name => ({
    cluster: {
      '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
      name,
      type: 'STATIC',
      load_assignment: { cluster_name: name },
    },
    last_updated: '2026-11-21T08:13:40.746Z',
  }))
  control.sections = [
    { type: 'BootstrapConfigDump', message: { bootstrap: { node: { id: 'n1', cluster: 'a' } }, last_updated: 'x' } },
    { type: 'ClustersConfigDump', message: { static_clusters } },
    { type: 'RoutesConfigDump', message: {} },
    {
      type: 'EndpointsConfigDump',
      message: { static_endpoint_configs: [{ endpoint_config: { cluster_name: 'orders' } }] },
    },
  ]
  const dump = async (query: string) => {
    const answer = await call(`GET /config_dump${query}`)
    return answer.status === 200 ? JSON.parse(answer.text) : `${answer.status} ${answer.text}`
  }
  assert.deepEqual(
    (await dump('')).configs.map((config: Record<string, string>) => config['@type']),
    [
      'type.googleapis.com/envoy.admin.v3.BootstrapConfigDump',
      'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
      'type.googleapis.com/envoy.admin.v3.RoutesConfigDump',
    ],
  )
  assert.equal((await dump('?include_eds')).configs.length, 4)
  assert.deepEqual((await dump('?resource=static_clusters&mask=cluster.name')).configs, [
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster',
      cluster: { '@type': static_clusters[0]!.cluster['@type'], name: 'orders' },
    },
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster',
      cluster: { '@type': static_clusters[0]!.cluster['@type'], name: 'pay.ments' },
    },
  ])
  assert.equal((await dump('?resource=static_clusters&name_regex=pay.*')).configs.length, 1)
  assert.deepEqual(await dump('?resource=dynamic_active_clusters'), {})
  assert.equal((await dump('?name_regex=pay')).configs[1].static_clusters, undefined, 'a regex covers the whole name')
  assert.deepEqual((await dump('?mask=bootstrap.node.id')).configs, [
    { '@type': 'type.googleapis.com/envoy.admin.v3.BootstrapConfigDump', bootstrap: { node: { id: 'n1' } } },
  ])
  assert.equal(await dump('?resource=nope'), '404 nope not found in config dump')
  assert.equal(
    await dump('?resource=bootstrap'),
    '400 bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field',
  )
  assert.equal(await dump('?mask=bogus.x'), '400 FieldMask bogus.x could not be successfully applied to any configs.')
  assert.equal(
    await dump('?mask=static_clusters.cluster'),
    '400 FieldMask static_clusters.cluster could not be successfully applied to any configs.',
  )
  assert.match(
    await dump('?resource=static_clusters&mask=nope.x'),
    /^400 FieldMask .*nope\.x.* could not be successfully used\.$/s,
  )
  assert.match(
    await dump('?name_regex=('),
    /^400 INVALID_ARGUMENT: Error while parsing name_regex from \(: missing \): \($/,
  )
})

test('/logging shows and changes levels, all or nothing', async () => {
  const { call } = server()
  const shown = await call('POST /logging')
  assert.ok(shown.text.startsWith('active loggers:\n  admin: info\n'))
  assert.ok((await call('POST /logging?level=debug')).text.includes('  router: debug\n'))
  assert.ok((await call('POST /logging?router=trace')).text.includes('  router: trace\n'))
  assert.ok((await call('POST /logging?paths=router:error,http:off')).text.includes('  http: off\n'))
  assert.equal((await call('POST /logging?level=&paths=')).status, 200)
  for (const [query, problem] of [
    ['level=loud', 'unknown logger level'],
    ['nope=debug', 'unknown logger name'],
    ['paths=router:info,nope:info', 'unknown logger name'],
    ['router=loud', 'unknown logger level'],
    ['level=info&http=debug', 'invalid number of parameters'],
  ]) {
    const refused = await call(`POST /logging?${query}`)
    assert.equal(refused.status, 400)
    assert.ok(refused.text.startsWith(`error: ${problem}\n\nusage: /logging?<name>=<level>`))
    assert.ok(refused.text.includes('  router: error\n'), 'nothing was changed')
  }
})

test('/runtime shows layers and final values, /runtime_modify overrides by query or form', async () => {
  const { call } = server()
  await call('POST /runtime_modify?a=b&foo=baz')
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  await call('POST /runtime_modify', form, 'c=d%20e')
  const { layers, entries } = JSON.parse((await call('GET /runtime')).text)
  assert.deepEqual(layers, ['static_layer', 'admin_layer'])
  assert.deepEqual(entries.foo, { layer_values: ['bar', 'baz'], final_value: 'baz' })
  assert.deepEqual(entries.c, { layer_values: ['', 'd e'], final_value: 'd e' })
  await call('POST /runtime_modify?foo=')
  assert.equal(JSON.parse((await call('GET /runtime')).text).entries.foo.final_value, 'bar')
  assert.equal((await call('POST /runtime_modify')).status, 400)
})

test('/failures lists by age, id and number', async () => {
  const { control, call } = server()
  control.failureList = [
    {
      id: 'aa',
      origin: 'd',
      cause: 'connect_refused',
      link: 'c>d',
      role: 'origin',
      confidence: 'exact',
      path: 'd,c',
      at: Date.UTC(2026, 0, 1),
    },
    { id: 'bb', origin: 'c', cause: 'app_error', role: 'origin', at: Date.UTC(2026, 0, 2), details: 'two words' },
  ]
  assert.equal(
    (await call('GET /failures')).text,
    '2026-01-01T00:00:00.000Z id=aa role=origin origin=d cause=connect_refused link=c>d confidence=exact path=d,c\n' +
      '2026-01-02T00:00:00.000Z id=bb role=origin origin=c cause=app_error details="two words"\n',
  )
  assert.equal(JSON.parse((await call('GET /failures?format=json&limit=1')).text).failures[0].id, 'bb')
  assert.match((await call('GET /failures/aa')).text, / id=aa /)
  assert.equal((await call('GET /failures/zz')).status, 404)
  assert.equal((await call('GET /failures?since=yesterday')).status, 400)
  assert.equal((await call('GET /failures?limit=0')).status, 400)
  const before = Date.now()
  await call('GET /failures?since=5m')
  const { since } = JSON.parse(control.asked.at(-1)!.slice('failures '.length))
  assert.ok(Math.abs(before - 300_000 - since) < 5000)
  await call('GET /failures?since=2026-01-01T00:00:00Z')
  assert.ok(control.asked.at(-1)!.includes(`"since":${Date.UTC(2026, 0, 1)}`))
})

test('/certs, /memory, /server_info and /init_dump are proto JSON', async () => {
  const { control, call } = server()
  const day = 86_400_000
  control.certificateViews = [
    {
      caCertificates: [],
      chain: [
        {
          path: '',
          serialNumber: '0a',
          subjectAltNames: [{ kind: 'dns', value: 'b' }],
          validFromMs: 0,
          expiresMs: Date.now() + 3.5 * day,
        },
      ],
    },
  ]
  const { certificates } = JSON.parse((await call('GET /certs')).text)
  assert.equal(certificates[0].cert_chain[0].days_until_expiration, '3')
  assert.equal(certificates[0].cert_chain[0].valid_from, '1970-01-01T00:00:00Z')
  // Envoy prints what is empty, too.
  assert.deepEqual(certificates[0].ca_cert, [])
  assert.match(JSON.parse((await call('GET /memory')).text).total_physical_bytes, /^\d+$/)
  const info = JSON.parse((await call('GET /server_info')).text)
  assert.equal(info.state, 'LIVE')
  assert.equal(info.uptime_current_epoch, '5s')
  assert.equal(info.version.split('/')[1], '1.40.0')
  assert.equal((await call('GET /init_dump')).text, '{}\n')
})

test('a CPU profile is taken between y and n, or for some seconds; one at a time', async () => {
  const { call } = server()
  assert.equal((await call('POST /cpuprofiler')).text, '?enable=<y|n>\n')
  assert.equal((await call('POST /cpuprofiler?enable=y')).text, 'OK\n')
  assert.equal((await call('POST /cpuprofiler?enable=y')).status, 500)
  const profile = JSON.parse((await call('POST /cpuprofiler?enable=n')).text)
  assert.ok(profile.nodes.length > 0)
  assert.equal((await call('POST /cpuprofiler?enable=n')).text, 'OK\n')
  assert.ok(JSON.parse((await call('POST /cpuprofiler?seconds=0.05')).text).nodes.length > 0)
  assert.equal((await call('POST /cpuprofiler?seconds=61')).status, 400)
})

test('a heap dump is a snapshot, and another can follow', async () => {
  const { call } = server()
  assert.ok((await call('POST /heap_dump')).text.startsWith('{"snapshot":'))
  await new Promise(setImmediate)
  assert.equal((await call('POST /heap_dump')).status, 200)
})

test('look-ups are not tracked, and the endpoints say so', async () => {
  const { call } = server()
  assert.match((await call('GET /stats/recentlookups')).text, /^Lookup tracking is not enabled/)
  await call('POST /stats/recentlookups/enable')
  assert.equal((await call('GET /stats/recentlookups')).text, '   Count Lookup\n\ntotal: 0\n')
  await call('POST /stats/recentlookups/disable')
  assert.equal((await call('POST /stats/recentlookups/clear')).text, 'OK\n')
})
