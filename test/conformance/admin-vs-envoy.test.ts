/**
 * The admin endpoints beside real Envoy: status, content type, verbs, texts of refusals and the keys of every JSON answer;
 * and for each stat that Envoy has, the metric and labels it prints for it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { AdminHandler } from '../../sidecar/admin/admin-handler.ts'
import { TagExtractor } from '../../sidecar/observability/stats-tags.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { freePorts } from '../kit/free-port.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { headerValue } from '../kit/http1-message.ts'
import { type ProxyProcess, temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'
import { bodyText, cluster, FakeControl, host, request } from '../unit/admin/fake-control.ts'

const TYPE = 'type.googleapis.com/envoy'
/** Prefixes that reach every tag rule: a local rate limit's `stat_prefix` may stand for any stat name's beginning. */
const PREFIXES = [
  'mongo.m.collection.c.callsite.s.query',
  'mongo.m.collection.c.query',
  'mongo.m.cmd.find',
  'thrift.th.x',
  'redis.rd.x',
  'dns_filter.df',
  'connection_limit.cl',
  'auth.clientssl.cs',
  'ratelimit.rl',
  'local_rate_limit.nl',
  'listener_local_ratelimit.ll',
  'grpc.gg',
  'sds.secret1',
  'proxy_proto.versions.v1',
  'proxy_proto.pp.versions.v2',
  'udp.up',
  'vhost.v1.vcluster.vc',
  'vhost.v1.route.r1',
  'cluster.cc.grpc.svc.meth',
  'cluster.cc.health_check.name.hcn',
  'cluster.cc.ext_authz.ea',
  'cluster.cc.ssl.certificate.crt',
  'listener.1.2.3.4_80.ssl.certificate.crt2',
  'listener.[__1]_80.worker_3',
  'listener_manager.worker_5',
  'server.worker_7',
  'http.p.user_agent.ios',
  'http.p.fault.dc',
  'http.p.rds.a.b-c',
  'http.p.scoped_rds.sr',
  'http.p.ext_authz.ea2',
  'http.p.rbac.rp',
  'http.p.rbac.policy.pol',
  'http.p.rbac.rp.policy.pol2',
  'http.p.dynamodb.table.tb.capacity.op',
  'http.p.dynamodb.error.tb2',
  'rr.rbac',
  'listener.admin.http.zz',
  'listener.127.0.0.1_1.http.zz',
]

let envoy: ProxyProcess
let ports: number[]
const control = new FakeControl()
const ours = new AdminHandler(control)

before(async () => {
  ports = await freePorts(4)
  envoy = await startEnvoy(configuration(ports))
  fillControl()
  for (const path of ['/', '/b', '/vc']) await fetchRaw(ports[0]!, { path })
  await fetchRaw(ports[0]!, { method: 'POST', path: '/b/Method', headers: { 'content-type': 'application/grpc' } })
})
after(async () => {
  await envoy?.stop('SIGKILL')
})

test('endpoints answer with the status and content type of Envoy', async () => {
  const lines = [
    'GET /ready',
    'POST /ready',
    'GET /help',
    'GET /',
    'GET /nope',
    'POST /nope',
    'GET /stats',
    'POST /stats',
    'GET /stats?format=json',
    'GET /stats?format=html',
    'GET /stats?format=foo',
    'GET /stats?type=Foo',
    'GET /stats?filter=(',
    'GET /stats?histogram_buckets=foo',
    'GET /stats?histogram_buckets=cumulative',
    'GET /clusters',
    'GET /clusters?format=json',
    'GET /clusters?filter=(',
    'GET /clusters?filter=orders',
    'GET /listeners',
    'GET /listeners?format=json',
    'GET /server_info',
    'GET /certs',
    'GET /memory',
    'GET /runtime',
    'GET /hot_restart_version',
    'GET /init_dump',
    'GET /config_dump',
    'GET /config_dump?resource=nope',
    'GET /config_dump?resource=bootstrap',
    'GET /config_dump?resource=static_clusters',
    'GET /config_dump?resource=static_clusters&mask=cluster.name',
    'GET /config_dump?resource=static_clusters&mask=nope.x',
    'GET /config_dump?mask=bogus.x',
    'GET /config_dump?name_regex=(',
    'GET /stats/recentlookups',
    'GET /logging',
    'POST /logging',
    'POST /logging?level=info',
    'POST /logging?level=foo',
    'POST /logging?nope=debug',
    'POST /logging?router=debug',
    'POST /logging?paths=router:info,http:debug',
    'GET /quitquitquit',
    'PUT /quitquitquit',
    'GET /healthcheck/fail',
    'GET /reset_counters',
    'POST /reset_counters',
    'GET /drain_listeners',
    'GET /runtime_modify',
    'POST /runtime_modify',
    'POST /runtime_modify?a=b',
    'GET /reopen_logs',
    'POST /reopen_logs',
    'GET /cpuprofiler',
    'POST /cpuprofiler',
    'POST /stats/recentlookups/enable',
    'POST /stats/recentlookups/disable',
    'POST /stats/recentlookups/clear',
    'GET /stats/prometheus?histogram_buckets=detailed',
    'GET /stats/prometheus?filter=(',
  ]
  for (const line of lines) {
    const [theirs, mine] = await both(line)
    assert.deepEqual([mine.status, mine.contentType], [theirs.status, theirs.contentType], line)
    assert.equal(mine.cacheControl, theirs.cacheControl, line)
  }
  // Prometheus 3 refuses a page whose type does not say what it is; Envoy's does not.
  const [theirs, mine] = await both('GET /stats/prometheus')
  assert.equal(theirs.contentType, 'text/plain; charset=UTF-8')
  assert.equal(mine.contentType, 'text/plain; version=0.0.4; charset=utf-8')
})

test('refusals and acknowledgements have the words of Envoy', async () => {
  const lines = [
    'GET /ready',
    'GET /quitquitquit',
    'PUT /quitquitquit',
    'GET /stats?format=foo',
    'GET /stats?type=Foo',
    'GET /stats?filter=(',
    'GET /clusters?filter=(',
    'GET /listeners',
    'GET /config_dump?resource=nope',
    'GET /config_dump?resource=bootstrap',
    'GET /config_dump?mask=bogus.x',
    'GET /config_dump?name_regex=(',
    'GET /init_dump',
    'POST /reset_counters',
    'POST /runtime_modify',
    'POST /reopen_logs',
    'POST /cpuprofiler',
    'POST /healthcheck/fail',
    'GET /ready',
    'POST /healthcheck/ok',
    'GET /ready',
    'POST /drain_listeners?inboundonly&skip_exit',
    'POST /stats/recentlookups/enable',
    'GET /stats/recentlookups',
    'POST /stats/recentlookups/disable',
    'GET /stats/prometheus?histogram_buckets=detailed',
  ]
  for (const line of lines) {
    const [theirs, mine] = await both(line)
    assert.equal(mine.text.trimEnd(), theirs.text.trimEnd(), line)
  }
  for (const line of [
    'POST /logging?level=foo',
    'POST /logging?nope=debug',
    'POST /logging?router=x',
    'POST /logging?level=info&http=debug',
  ]) {
    const [theirs, mine] = await both(line)
    assert.equal(mine.text.split('\n')[0], theirs.text.split('\n')[0], line)
  }
})

test('JSON answers have the keys of Envoy', async () => {
  // Envoy shows a histogram's bins once its first interval has ended.
  await waitFor(
    async () => (await envoy.admin('/stats?format=json&histogram_buckets=detailed')).includes('"intervals":[{'),
    {
      deadlineMs: 20_000,
      everyMs: 200,
      what: 'a flush of histograms',
    },
  )
  for (const path of [
    '/clusters?format=json',
    '/listeners?format=json',
    '/certs',
    '/memory',
    '/runtime',
    '/init_dump',
    '/config_dump?resource=static_clusters&mask=cluster.name',
    '/stats?format=json',
    '/stats?format=json&histogram_buckets=cumulative',
    '/stats?format=json&histogram_buckets=disjoint',
    '/stats?format=json&histogram_buckets=detailed',
  ]) {
    const [theirs, mine] = await both(`GET ${path}`)
    assert.deepEqual(keys(JSON.parse(mine.text)), keys(JSON.parse(theirs.text)), path)
  }
  const [theirs, mine] = await both('GET /server_info')
  assert.deepEqual(Object.keys(JSON.parse(mine.text)), Object.keys(JSON.parse(theirs.text)))
})

test('/clusters prints the same lines for the same clusters', async () => {
  const [theirs, mine] = await both('GET /clusters')
  const sorted = (text: string) =>
    text
      .replace(/::(cx|rq)_(\w+)::\d+/g, '::$1_$2::N')
      .trim()
      .split('\n')
      .sort()
  assert.deepEqual(sorted(mine.text), sorted(theirs.text))
})

test("every endpoint of /help is one of Envoy's with its verb, or one of our own", async () => {
  const [theirs, mine] = await both('GET /help')
  const commands = (text: string) => [...text.matchAll(/^ {2}(\/\S*(?: \(POST\))?):/gm)].map(match => match[1]!)
  const envoys = commands(theirs.text)
  assert.deepEqual(
    commands(mine.text).filter(command => !envoys.includes(command)),
    ['/config_sources', '/endpoints', '/failures', '/healthz/ready', '/heap_dump (POST)', '/live', '/mesh', '/tap'],
  )
  // Of the allocator and locks of C++; the heap dump is a POST here because it stops the process.
  assert.deepEqual(
    envoys.filter(command => !commands(mine.text).includes(command)),
    [
      '/allocprofiler (POST)',
      '/contention',
      '/heap_dump',
      '/heapprofiler (POST)',
      '/memory/tcmalloc',
      '/peak_heap_dump',
    ],
  )
})

test('every stat of Envoy becomes the metric and the labels that Envoy prints for it', async () => {
  const extractor = new TagExtractor()
  const clean = (text: string) => text.replace(/[^a-zA-Z0-9_]/g, '_')
  const page = await envoy.admin('/stats/prometheus')
  const printed = new Set(
    page
      .split('\n')
      .filter(line => line !== '' && line[0] !== '#')
      .map(line => line.replace(/ \S+$/, '')),
  )
  let compared = 0
  for (const line of (await envoy.admin('/stats')).split('\n')) {
    const match = /^(\S+): (\d+|P0\(.*|No recorded values)$/.exec(line)
    if (match === null || match[1]!.includes('.endpoint.')) continue
    const { name, tags } = extractor.extract(match[1]!)
    const labels = tags.map(([tag, value]) => `${clean(tag)}="${value}"`).join(',')
    const series = `envoy_${clean(name)}${/^\d/.test(match[2]!) ? '' : '_count'}{${labels}}`
    assert.ok(printed.has(series), `${match[1]}: ${series}`)
    compared++
  }
  assert.ok(compared > 800, String(compared))
})

interface Answer {
  readonly status: number
  readonly contentType: string | undefined
  readonly cacheControl: string | undefined
  readonly text: string
}

async function both(line: string): Promise<[theirs: Answer, mine: Answer]> {
  const [method = '', path = ''] = line.split(' ')
  const theirs = await fetchRaw(envoy.adminPort, { method, path })
  const mine = await ours.handle(request(line))
  return [
    {
      status: theirs.status,
      contentType: headerValue(theirs.headers, 'content-type'),
      cacheControl: headerValue(theirs.headers, 'cache-control'),
      text: theirs.text,
    },
    {
      status: mine.status,
      contentType: mine.contentType,
      cacheControl: mine.headers.find(([name]) => name === 'cache-control')?.[1],
      text: await bodyText(mine),
    },
  ]
}

/** Every path of keys in a JSON value, elements of arrays taken together, sorted. What is keyed by names is not entered. */
function keys(value: unknown, path = '', into = new Set<string>()): string[] {
  if (Array.isArray(value)) for (const element of value) keys(element, `${path}[]`, into)
  else if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) {
      const here = path === '.entries' ? `${path}.*` : `${path}.${key}`
      into.add(here)
      keys(inner, here, into)
    }
  }
  return [...into].sort()
}

/** What the configuration below makes of Envoy. */
function fillControl(): void {
  control.clusterViews = [
    cluster('orders', {
      defaultPriority: { maxConnections: 100, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 },
      highPriority: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 7, maxRetries: 3 },
      outlier: {
        successRateAverage: -1,
        successRateEjectionThreshold: -1,
        localOriginSuccessRateAverage: -1,
        localOriginSuccessRateEjectionThreshold: -1,
      },
      hosts: [
        host(1, {
          hostname: 'h1',
          weight: 3,
          region: 'r1',
          zone: 'z1',
          counters: { ...host(1).counters, cxConnectFail: 4, cxTotal: 4, rqError: 4 },
        }),
      ],
    }),
    cluster('pay.ments', {
      hosts: [host(2, { hostname: '127.0.0.1', health: { failedActiveHealthCheck: true, edsStatus: 'HEALTHY' } })],
    }),
  ]
  control.listenerViews = [
    { name: 'in', local: { ip: '127.0.0.1', port: ports[0]! } },
    { name: 'tls', local: { ip: '127.0.0.1', port: ports[1]! } },
  ]
  const details = {
    path: 'cert.pem',
    serialNumber: '01',
    subjectAltNames: [
      { kind: 'dns', value: 'b' },
      { kind: 'uri', value: 'spiffe://td/x' },
    ],
    validFromMs: 0,
    expiresMs: 1,
  } as const
  control.certificateViews = [{ caCertificates: [details], chain: [details] }]
  control.sections = [
    { type: 'BootstrapConfigDump', message: { bootstrap: {}, last_updated: 'x' } },
    {
      type: 'ClustersConfigDump',
      message: {
        static_clusters: [
          {
            cluster: { '@type': `${TYPE}.config.cluster.v3.Cluster`, name: 'orders', type: 'STATIC' },
            last_updated: 'x',
          },
        ],
      },
    },
  ]
  control.store.counter('cluster.orders.upstream_rq_total')
  control.store.histogram('cluster.orders.upstream_rq_time').record(3)
  control.store.rotateHistograms()
}

function configuration([http, tls]: number[]): string {
  const folder = temporaryFolder()
  const cert = join(folder, 'cert.pem')
  const key = join(folder, 'key.pem')
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '300'],
    ...['-subj', '/CN=b', '-addext', 'subjectAltName=DNS:b,URI:spiffe://td/x'],
  ])
  assert.equal(made.status, 0, String(made.stderr))
  const extension = (name: string, type: string, config: object = {}) => ({
    name,
    typed_config: { '@type': `${TYPE}.extensions.${type}`, ...config },
  })
  const loopback = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })
  const limits = PREFIXES.map(stat_prefix =>
    extension('envoy.filters.http.local_ratelimit', 'filters.http.local_ratelimit.v3.LocalRateLimit', {
      stat_prefix,
      token_bucket: { max_tokens: 1000, fill_interval: '1s' },
    }),
  )
  const manager = extension(
    'envoy.filters.network.http_connection_manager',
    'filters.network.http_connection_manager.v3.HttpConnectionManager',
    {
      stat_prefix: 'ingress',
      http_filters: [
        ...limits,
        extension('envoy.filters.http.grpc_stats', 'filters.http.grpc_stats.v3.FilterConfig', {
          stats_for_all_methods: true,
        }),
        extension('envoy.filters.http.fault', 'filters.http.fault.v3.HTTPFault'),
        extension('envoy.filters.http.router', 'filters.http.router.v3.Router'),
      ],
      route_config: {
        name: 'local_route',
        virtual_hosts: [
          {
            name: 'vh',
            domains: ['*'],
            virtual_clusters: [{ name: 'vc1', headers: [{ name: ':path', string_match: { prefix: '/vc' } }] }],
            routes: [
              { match: { prefix: '/b' }, route: { cluster: 'orders' } },
              { match: { prefix: '/vc' }, route: { cluster: 'orders' } },
              { match: { prefix: '/' }, direct_response: { status: 200 } },
            ],
          },
        ],
      },
    },
  )
  const proxy = extension('envoy.filters.network.tcp_proxy', 'filters.network.tcp_proxy.v3.TcpProxy', {
    stat_prefix: 'tp.dot',
    cluster: 'pay.ments',
  })
  const context = extension('envoy.transport_sockets.tls', 'transport_sockets.tls.v3.DownstreamTlsContext', {
    common_tls_context: {
      tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
      validation_context: { trusted_ca: { filename: cert } },
    },
  })
  const endpoint = (port: number, hostname?: string) => ({ endpoint: { address: loopback(port), hostname } })
  const sections = {
    node: { id: 'n1', cluster: 'a' },
    layered_runtime: {
      layers: [
        { name: 'static_layer', static_layer: { foo: 'bar', health_check: { min_interval: 5 } } },
        { name: 'admin_layer', admin_layer: {} },
      ],
    },
    static_resources: {
      listeners: [
        {
          name: 'in',
          traffic_direction: 'INBOUND',
          address: loopback(http!),
          filter_chains: [{ filters: [manager] }],
        },
        { name: 'tls', address: loopback(tls!), filter_chains: [{ transport_socket: context, filters: [proxy] }] },
      ],
      clusters: [
        {
          name: 'orders',
          type: 'STATIC',
          outlier_detection: {},
          circuit_breakers: { thresholds: [{ max_connections: 100 }, { priority: 'HIGH', max_requests: 7 }] },
          load_assignment: {
            cluster_name: 'orders',
            endpoints: [
              {
                locality: { region: 'r1', zone: 'z1' },
                lb_endpoints: [{ ...endpoint(1, 'h1'), load_balancing_weight: 3 }],
              },
            ],
          },
        },
        {
          name: 'pay.ments',
          type: 'STRICT_DNS',
          health_checks: [
            {
              timeout: '1s',
              interval: '1s',
              unhealthy_threshold: 1,
              healthy_threshold: 1,
              http_health_check: { path: '/' },
            },
          ],
          load_assignment: { cluster_name: 'x', endpoints: [{ lb_endpoints: [endpoint(2)] }] },
        },
      ],
    },
  }
  // JSON below YAML's keys, so that the kit can add an admin section.
  return Object.entries(sections)
    .map(([name, section]) => `${name}: ${JSON.stringify(section)}\n`)
    .join('')
}
