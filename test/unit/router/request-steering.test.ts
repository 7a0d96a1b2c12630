import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { announceTimeout, strictCheck, type Timeouts, timeoutsFor } from '../../../sidecar/router/request-steering.ts'
import type { RouteEntry } from '../../../sidecar/router/route-entry.ts'

const config = {
  suppressEnvoyHeaders: false,
  respectExpectedRequestTimeout: false,
  strictCheckHeaders: [],
  dynamicStats: true,
}
const route = (timeoutMs: number, perTryTimeoutMs = 0) =>
  ({ timeoutFor: () => timeoutMs, limitsGrpcTimeout: false, retryPolicy: { perTryTimeoutMs } }) as unknown as RouteEntry
const request = (...list: string[]) => new RequestHeaders('GET', '/', 'a', 'http', list)

describe('timeouts of a request', () => {
  test('headers that were let through win over the route, and do not go upstream', () => {
    const headers = request('x-envoy-upstream-rq-timeout-ms', '700', 'x-envoy-upstream-rq-per-try-timeout-ms', '200')
    const { response, perTry } = timeoutsFor(headers, route(15_000), config)
    assert.deepEqual([response, perTry, headers.size], [700, 200, 0])
  })

  test('what is no number is left alone', () => {
    const headers = request('x-envoy-upstream-rq-timeout-ms', 'soon')
    assert.equal(timeoutsFor(headers, route(15_000), config).response, 15_000)
    assert.equal(headers.size, 1)
  })

  test('a timeout per try that is no shorter than the whole is none', () => {
    assert.equal(timeoutsFor(request(), route(100, 100), config).perTry, 0)
    assert.equal(timeoutsFor(request(), route(0, 100), config).perTry, 100)
  })

  test('the time that a sidecar before this one gave counts where it is respected', () => {
    const headers = () => request('x-envoy-expected-rq-timeout-ms', '400', 'x-envoy-upstream-rq-timeout-ms', '900')
    assert.equal(timeoutsFor(headers(), route(1000), config).response, 900)
    const respected = { ...config, respectExpectedRequestTimeout: true }
    assert.equal(timeoutsFor(headers(), route(1000), respected).response, 400)
  })

  test('the upstream is told the shorter of a try and what is left, and never 0', () => {
    const told = (timeouts: Partial<Timeouts>, elapsed: number) => {
      const headers = request()
      const all = { response: 0, perTry: 0, perTryIdle: 0, streamDuration: undefined, status: 504, ...timeouts }
      announceTimeout(headers, route(0), all, elapsed, true)
      return headers.get('x-envoy-expected-rq-timeout-ms')
    }
    assert.equal(told({ response: 1000 }, 0), '1000')
    assert.equal(told({ response: 1000, perTry: 300 }, 0), '300')
    assert.equal(told({ response: 1000, perTry: 300 }, 900), '100')
    assert.equal(told({ response: 1000 }, 1200), '1')
    assert.equal(told({}, 0), undefined)
  })
})

test('strict_check_headers names the header that makes no sense', () => {
  const reply = strictCheck(request('x-envoy-retry-on', '5xx,nonsense'), ['x-envoy-max-retries', 'x-envoy-retry-on'])
  assert.equal(reply?.body, "invalid header 'x-envoy-retry-on' with value '5xx,nonsense'")
  assert.equal(reply?.details, 'request_headers_failed_strict_check{x-envoy-retry-on}')
  assert.equal(strictCheck(request('x-envoy-retry-on', '5xx, reset'), ['x-envoy-retry-on']), undefined)
})
