/**
 * What does finding a route cost? Tables of 1, 50 and 1,000 routes, scanned and indexed, and what a match does besides:
 * domains, header conditions, weighted clusters, regular expressions.
 *
 *   node test/bench/route-match.bench.ts
 *
 * Node 26.10, two busy cores, nanoseconds of processor time a match, the best of nine rounds:
 *
 *   1 route, prefix "/": 31; by an exact domain: 77; by a suffix domain: 141
 *   8 prefixes: index 110, scan 267; 50: 168, 1,679; 1,000: 518, 29,558
 *   50 routes of one prefix told apart by a header, the last one: 2,874; weighted clusters: 71
 *   a regex, simple: 138; by re2js: 1,666; replacing with two groups, simple: 555
 */
import { RE2JS } from 're2js'
import { systemRandom } from '../../sidecar/base/random.ts'
import { Regex, Substitution } from '../../sidecar/base/regex.ts'
import { RequestHeaders } from '../../sidecar/codec/header-map.ts'
import { StreamInfo } from '../../sidecar/observability/stream-info.ts'
import { MatchInput } from '../../sidecar/router/match-input.ts'
import { RouteIndex } from '../../sidecar/router/route-index.ts'
import type { RouteTable } from '../../sidecar/router/route-table.ts'
import { tableOf } from '../unit/router/tables.ts'

const ROUNDS = 9
const info = new StreamInfo(
  {
    id: 1,
    directRemote: { ip: '127.0.0.1', port: 1 },
    local: { ip: '127.0.0.1', port: 2 },
    listenerName: '',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  },
  'HTTP/1.1',
  0,
  0,
)

/** Kept, so that no work is optimised away. */
let sink = 0

function nanoseconds(work: (i: number) => unknown, count = 400_000): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    // Time of the processor, not of the clock: other work on the machine must not count.
    const before = process.cpuUsage()
    for (let i = 0; i < count; i++) if (work(i) !== undefined) sink++
    best = Math.min(best, (process.cpuUsage(before).user * 1000) / count)
  }
  return best
}

function report(name: string, ns: number): void {
  console.log(`${name.padEnd(66)} ${ns.toFixed(0).padStart(7)} ns`)
}

/** Headers as an ordinary request has them; paths are cut from a larger buffer, as the parser's are. */
function requests(paths: readonly string[], host = 'app.test', more: readonly string[] = []): RequestHeaders[] {
  return paths.map(path => {
    const text = Buffer.from(`GET ${path} HTTP/1.1`).latin1Slice(4, 4 + path.length)
    const list = [
      'user-agent',
      'bench/1.0',
      'accept',
      '*/*',
      'x-request-id',
      'abc',
      'x-forwarded-proto',
      'http',
      ...more,
    ]
    return new RequestHeaders('GET', text, host, 'http', list)
  })
}

function matching(name: string, table: RouteTable, all: readonly RequestHeaders[]): void {
  report(
    name,
    nanoseconds(i => table.match(all[i % all.length]!, info, systemRandom)),
  )
}

const one = tableOf({ virtual_hosts: [{ name: 'a', domains: ['*'], routes: [to('/')] }] })
matching('1 route, prefix "/", domain *', one, requests(['/', '/api/users/17', '/a?b=c']))
const named = tableOf({ virtual_hosts: [host('a', ['app.test'], [to('/')]), host('b', ['*'], [to('/')])] })
matching('1 route, exact domain', named, requests(['/', '/api/users/17', '/a?b=c']))
const suffix = tableOf({
  virtual_hosts: [host('a', ['*.app.test', '*.b.test'], [to('/')]), host('b', ['*'], [to('/')])],
})
matching('1 route, suffix domain', suffix, requests(['/', '/api/users/17'], 'x.app.test'))

for (const count of [8, 50, 1000]) {
  const routes = Array.from({ length: count }, (_, i) => to(`/service-${i}/api/`))
  const table = tableOf({ virtual_hosts: [host('a', ['*'], routes)] })
  const all = requests(Array.from({ length: count }, (_, i) => `/service-${(i * 7919) % count}/api/items/${i}?q=1`))
  matching(`${count} prefixes, every one as often`, table, all)
  const compiled = table.virtualHosts[0]!.routes
  const input = new MatchInput(false)
  const index = new RouteIndex(compiled)
  report(
    `  … the index alone`,
    nanoseconds(i => {
      input.start(all[i % all.length]!, info, systemRandom)
      return index.find(input)
    }),
  )
  report(
    `  … the scan alone`,
    nanoseconds(
      i => {
        input.start(all[i % all.length]!, info, systemRandom)
        return compiled.find(route => route.match.matches(input))
      },
      count === 1000 ? 40_000 : 400_000,
    ),
  )
}

for (const count of [2, 4, 6, 8]) {
  const routes = Array.from({ length: count }, (_, i) => to(`/service-${i}/api/`))
  const compiled = tableOf({ virtual_hosts: [host('a', ['*'], routes)] }).virtualHosts[0]!.routes
  const all = requests(Array.from({ length: count }, (_, i) => `/service-${i}/api/items/${i}?q=1`))
  const input = new MatchInput(false)
  const index = new RouteIndex(compiled)
  const find = (i: number) => {
    input.start(all[i % all.length]!, info, systemRandom)
    return index.find(input)
  }
  const scan = (i: number) => {
    input.start(all[i % all.length]!, info, systemRandom)
    for (let j = 0; j < compiled.length; j++) if (compiled[j]!.match.matches(input)) return compiled[j]
    return undefined
  }
  console.log(
    `threshold: ${count} prefixes: index ${nanoseconds(find).toFixed(0)} ns, scan ${nanoseconds(scan).toFixed(0)} ns`,
  )
}

const headers = Array.from({ length: 50 }, (_, i) => ({
  match: { prefix: '/', headers: [{ name: 'x-version', string_match: { exact: `v${i}` } }] },
  route: { cluster: 'app' },
}))
const byHeader = tableOf({ virtual_hosts: [host('a', ['*'], headers)] })
matching(
  '50 routes of one prefix, by a header; the last one',
  byHeader,
  requests(['/'], 'app.test', ['x-version', 'v49']),
)
const weighted = tableOf({
  virtual_hosts: [
    host(
      'a',
      ['*'],
      [
        {
          match: { prefix: '/' },
          route: {
            weighted_clusters: {
              clusters: [
                { name: 'app', weight: 90 },
                { name: 'blue', weight: 10 },
              ],
            },
          },
        },
      ],
    ),
  ],
})
matching('weighted clusters', weighted, requests(['/']))
const regexes = tableOf({
  virtual_hosts: [
    host('a', ['*'], [{ match: { safe_regex: { regex: '/users/[0-9]+(/.*)?' } }, route: { cluster: 'app' } }]),
  ],
})
matching('a simple regex', regexes, requests(['/users/17/orders/4?x=y']))

const path = '/service/foo/v1/api'
const pattern = '^/service/([^/]+)(/.*)$'
const regex = Regex.compile(pattern)
const re2 = RE2JS.compile(pattern)
const substitution = new Substitution('\\2/instance/\\1')
report(
  'regex: matches, simple',
  nanoseconds(() => regex.matchesBytes(path)),
)
report(
  'regex: matches, re2js',
  nanoseconds(() => re2.testExact(path)),
)
report(
  'regex: replaceAll, simple',
  nanoseconds(() => regex.replaceAllBytes(path, substitution)),
)
console.log(`(${sink})`)

function to(prefix: string): object {
  return { match: { prefix }, route: { cluster: 'app' } }
}

function host(name: string, domains: readonly string[], routes: readonly object[]): object {
  return { name, domains, routes }
}
