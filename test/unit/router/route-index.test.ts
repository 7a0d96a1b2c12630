import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { MatchInput } from '../../../sidecar/router/match-input.ts'
import { RouteIndex } from '../../../sidecar/router/route-index.ts'
import { request, routesOf, streamInfo } from './tables.ts'

const segment = fc.constantFrom('a', 'ab', 'abc', 'b', 'api', 'v1', '')
const path = fc.array(segment, { maxLength: 4 }).map(segments => `/${segments.join('/')}`)
const match = fc.oneof(
  { weight: 4, arbitrary: path.map(prefix => ({ prefix })) },
  { weight: 4, arbitrary: path.map(text => ({ path: text })) },
  { weight: 2, arbitrary: path.filter(text => !text.endsWith('/')).map(text => ({ path_separated_prefix: text })) },
  { weight: 1, arbitrary: path.map(text => ({ safe_regex: { regex: `${text}.*` } })) },
  { weight: 1, arbitrary: path.map(prefix => ({ prefix, case_sensitive: false })) },
  { weight: 1, arbitrary: path.map(prefix => ({ prefix, headers: [{ name: 'x-k', string_match: { exact: 'v' } }] })) },
  { weight: 1, arbitrary: fc.constant({ connect_matcher: {} }) },
)
const target = fc.tuple(path, fc.constantFrom('', 'x', '?q=/a', '#f', ';p', '/')).map(parts => parts.join(''))

test('the index finds the route that a scan in order finds', () => {
  fc.assert(
    fc.property(
      fc.array(match, { minLength: 1, maxLength: 30 }),
      fc.array(fc.tuple(target, fc.constantFrom('GET', 'CONNECT'), fc.boolean()), { minLength: 1, maxLength: 20 }),
      fc.boolean(),
      (matches, requests, ignoresParameters) => {
        const routes = matches.map(match => ({ match, route: { cluster: 'app' } }))
        const compiled = routesOf(routes).virtualHosts[0]!.routes
        const index = new RouteIndex(compiled)
        const input = new MatchInput(ignoresParameters)
        for (const [path, method, withHeader] of requests) {
          const parts = { path: method === 'CONNECT' ? '' : path, method, headers: withHeader ? { 'x-k': 'v' } : {} }
          input.start(request(parts), streamInfo(), new SeededRandom(1))
          const scanned = compiled.findIndex(route => route.match.matches(input))
          const found = index.find(input)
          assert.equal(found === undefined ? -1 : compiled.indexOf(found), scanned, `${method} ${path}`)
        }
      },
    ),
    { numRuns: 120 },
  )
})

test('an empty prefix takes every path', () => {
  const table = routesOf(
    [...Array(5)].map((_, i) => ({ match: { prefix: i === 4 ? '' : `/x${i}` }, route: { cluster: `c${i}` } })),
  )
  assert.equal(table.match(request({ path: '/y' }), streamInfo(), new SeededRandom(1))?.clusterName, 'c4')
  const one = routesOf([{ match: { prefix: '' }, route: { cluster: 'c' } }])
  assert.equal(one.match(request({ path: '/y' }), streamInfo(), new SeededRandom(1))?.clusterName, 'c')
})
