/** `hopwise explain`: what it says of a request, with the place in the file, and why the routes before did not match. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CliIo } from '../../../sidecar/base/verb.ts'
import { explain } from '../../../sidecar/cli/explain.ts'
import { temporaryFile } from '../../kit/proxy-process.ts'

const TYPE = 'type.googleapis.com/envoy.extensions.filters'
const manager = (routes: string) => `    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": ${TYPE}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          http_filters: [{ name: envoy.filters.http.router, typed_config: { "@type": ${TYPE}.http.router.v3.Router } }]
${routes}`
const address = (port: number) => `{ socket_address: { address: 127.0.0.1, port_value: ${port} } }`

/** The places in it are told by the answers. */
const FILE = temporaryFile(
  'envoy.yaml',
  `static_resources:
  listeners:
  - name: ingress
    address: ${address(10000)}
${manager(`          route_config:
            virtual_hosts:
            - name: orders
              domains: [orders]
              routes:
              - { name: canary, match: { prefix: /v1, headers: [{ name: x-canary, string_match: { exact: "yes" } }] }, route: { cluster: canary } }
              - { match: { path: /health }, direct_response: { status: 204 } }
              - { match: { prefix: /old }, redirect: { path_redirect: /new, response_code: FOUND } }
              - { match: { prefix: /v1 }, route: { cluster: orders } }
              - { match: { prefix: /shared }, route: { weighted_clusters: { clusters: [{ name: orders, weight: 9 }, { name: canary, weight: 1 }] } } }
              - { match: { prefix: /chosen }, route: { cluster_header: x-cluster } }
              - { match: { prefix: /kept }, non_forwarding_action: {} }
            - name: secure
              require_tls: ALL
              domains: [pay.example]
              routes: [{ match: { prefix: / }, route: { cluster: orders } }]
`)}
  - name: egress
    address: ${address(10001)}
${manager(`          route_config:
            virtual_hosts:
            - name: rest
              domains: ["*"]
              routes:
              - { match: { prefix: /v1, query_parameters: [{ name: debug, present_match: true }] }, route: { cluster: orders } }
`)}
  - name: fallback
    address: ${address(10002)}
${manager(`          route_config: { virtual_hosts: [{ name: none, domains: [other] }] }
`).replace('filter_chains:\n    - filters', 'default_filter_chain:\n      filters')}
  clusters:
  - name: orders
    load_assignment:
      cluster_name: orders
      endpoints: [{ lb_endpoints: [{ endpoint: { address: ${address(9001)} } }] }]
  - name: canary
    type: STATIC
`,
)
const BROKEN = temporaryFile('broken.yaml', 'static_resources:\n  listners: []\n')

async function run(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  let out = ''
  let error = ''
  const io: CliIo = {
    out: text => {
      out += text
    },
    error: text => {
      error += text
    },
    stdin: async () => '',
    isTerminal: false,
    colours: false,
    errorColours: false,
  }
  const code = await explain(args, io)
  return { code, out: out.replaceAll(FILE, 'FILE'), error: error.replaceAll(BROKEN, 'BROKEN') }
}

const ingress = (...args: string[]) => run('-c', FILE, '--listener', 'ingress', ...args)
const ORDERS = "cluster 'orders' (FILE:57:5), hosts 127.0.0.1:9001"
const CANARY = "cluster 'canary' (FILE:61:5), no hosts in this file"

test('each route that was tried is named with its place and the reason, until one matches', async () => {
  const { code, out } = await ingress('GET', 'http://orders/v1/list')
  assert.equal(code, 0)
  assert.equal(
    out,
    `listener ingress (FILE:3:5)
  virtual host orders
  × route canary (FILE:17:17): header x-canary is missing; it must be exactly "yes"
  × route (FILE:18:17): path is "/v1/list"; it must be "/health"
  × route (FILE:19:17): path is "/v1/list"; it must begin with "/old"
  √ route (FILE:20:17)
  → ${ORDERS}
`,
  )
})

test('headers are looked at, and host takes the place of that in the URL', async () => {
  const canary = await ingress('GET', 'http://orders/v1', '-H', 'X-Canary: yes')
  assert.match(canary.out, /√ route canary/)
  assert.ok(canary.out.includes(`→ ${CANARY}\n`), canary.out)
  const other = await ingress('GET', 'http://orders/v1', '-H', 'x-canary:no', '-H', 'a: b')
  assert.match(other.out, /× route canary .*: header x-canary is "no"; it must be exactly "yes"/)
  const named = await ingress('http://127.0.0.1:10000/health', '-H', 'Host: orders')
  assert.match(named.out, /virtual host orders\n(.*\n)+ {2}→ direct response 204\n$/)
})

const OUTCOMES: readonly (readonly [url: string, headers: readonly string[], code: number, outcome: string])[] = [
  ['http://orders/health', [], 0, '→ direct response 204'],
  ['http://orders/old/x', [], 0, '→ redirect 302 to http://orders/new'],
  ['http://orders/shared', [], 0, `→ one of 2 clusters:\n      ${ORDERS}, weight 9\n      ${CANARY}, weight 1`],
  ['http://orders/chosen', ['x-cluster: canary'], 0, `→ ${CANARY}`],
  ['http://orders/chosen', ['x-cluster: no'], 0, "→ cluster 'no', which does not exist: 503 (NC cluster_not_found)"],
  ['http://orders/chosen', [], 0, '→ no cluster: header x-cluster is missing: 503 (NC cluster_not_found)'],
  ['http://orders/kept', [], 0, '→ no cluster, non_forwarding_action: 503 (NC cluster_not_found)'],
  ['http://orders/none', [], 1, '→ no route: 404 (NR route_not_found)'],
  ['http://pay.example/x?y=1', [], 0, '→ redirect 301 to https://pay.example/x?y=1'],
  ['https://pay.example/x', [], 0, `→ ${ORDERS}`],
]
for (const [url, headers, expected, outcome] of OUTCOMES) {
  test(`${[url, ...headers].join(' with ')}: what comes of it`, async () => {
    const { code, out } = await ingress(url, ...headers.flatMap(header => ['-H', header]))
    assert.ok(out.endsWith(`  ${outcome}\n`), out)
    assert.equal(code, expected)
  })
}

test('a host that no domain is for is said to be none, in the default filter chain too', async () => {
  const { code, out } = await ingress('GET', 'http://nowhere/')
  assert.equal(code, 1)
  assert.match(out, /\n {2}no virtual host has a domain for "nowhere"\n {2}→ no route: 404/)
  const chain = await run('-c', FILE, '--listener', 'fallback', 'GET', 'http://orders/')
  assert.match(chain.out, /^listener fallback \(FILE:\d+:5\)\n {2}no virtual host has a domain for "orders"\n/)
})

test('without --listener every one is asked; one that there is not is told from those that there are', async () => {
  const { code, out } = await run('-c', FILE, 'GET', 'http://orders/v1?debug')
  assert.equal(code, 0)
  assert.deepEqual(
    [...out.matchAll(/^listener (\w+)/gm)].map(([, name]) => name),
    ['ingress', 'egress', 'fallback'],
  )
  const { code: none, error } = await run('-c', FILE, '--listener', 'no', 'GET', 'http://orders/')
  assert.equal(none, 1)
  assert.equal(error, "hopwise explain: no listener 'no', there are: ingress, egress, fallback\n")
})

test('a configuration without listeners is said to have none', async () => {
  const empty = temporaryFile('empty.yaml', 'static_resources: {}\n')
  for (const listener of [[], ['--listener', 'no']]) {
    const { code, error } = await run('-c', empty, ...listener, 'GET', 'http://orders/')
    assert.equal(code, 1)
    const wanted = listener.length === 0 ? '' : "no listener 'no', "
    assert.equal(error, `hopwise explain: ${wanted}${empty} has no listeners\n`)
  }
})

test('--json tells the same to machines', async () => {
  const { code, out } = await run('-c', FILE, '--json', '--listener', 'egress', 'GET', 'http://orders/v1')
  assert.equal(code, 1)
  assert.deepEqual(JSON.parse(out), [
    {
      listener: 'egress',
      place: 'FILE:29:5',
      virtualHost: 'rest',
      note: '',
      tried: [
        {
          name: '',
          place: 'FILE:43:17',
          matched: false,
          reason: 'query parameter debug is missing; it must be present',
        },
      ],
      served: false,
      outcome: 'no route: 404 (NR route_not_found)',
    },
  ])
})

test('what is wrong with the command line or the file is said', async () => {
  const wrong: readonly (readonly [args: readonly string[], code: number, error: RegExp])[] = [
    [['GET', 'http://orders/'], 2, /^hopwise explain: no configuration: give one with -c FILE\n\nusage:/],
    [['-c', FILE], 2, /^hopwise explain: give a method and a URL\n/],
    [['-c', FILE, 'GET', '/v1'], 2, /^hopwise explain: '\/v1' is no URL; it needs scheme and host/],
    [['-c', FILE, 'GET', 'http://o/', '-H', 'x'], 2, /^hopwise explain: 'x' is no header; write 'name: value'\n/],
    [['-c', FILE, 'GET', 'http://o/', '--bogus'], 2, /^hopwise explain: Unknown option '--bogus'/],
    [['-c', BROKEN, 'GET', 'http://o/'], 1, /^BROKEN:2:3.* did you mean "listeners"\?\n/],
  ]
  for (const [args, expected, message] of wrong) {
    const { code, out, error } = await run(...args)
    assert.equal(out, '')
    assert.match(error, message)
    assert.equal(code, expected, error)
  }
  const help = await run('--help')
  assert.equal(help.code, 0)
  assert.match(help.out, /^usage: hopwise explain /)
})
