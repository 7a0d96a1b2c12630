import { type Json, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'

const healthCheck = (fields: Record<string, Json>): Json => ({
  name: 'envoy.filters.http.health_check',
  typed_config: typed('http.health_check.v3.HealthCheck', {
    headers: [{ name: ':path', string_match: { exact: '/healthz' } }],
    ...fields,
  }),
})

const stats = [
  'request_total',
  'ok',
  'failed',
  'cached_response',
  'degraded',
  'failed_cluster_not_found',
  'failed_cluster_empty',
  'failed_cluster_unhealthy',
].map(name => `http.{prefix}.health_check.${name}`)
stats.push('http.{prefix}.tracing.health_check', 'http.{prefix}.downstream_rq_completed')

const path = '/healthz'
const CHECKED = 'x-envoy-upstream-healthchecked-cluster'

const scenarios: readonly FilterScenario[] = [
  {
    name: 'health_check: answers in place of the application',
    filters: [healthCheck({ pass_through_mode: false })],
    steps: [
      {
        path,
        expect: { status: 200, body: '', headers: { [CHECKED]: 'test-service' }, log: '200 - health_check_ok ' },
      },
      { path: '/other', expect: { status: 200, body: 'ok', headers: { [CHECKED]: null } } },
    ],
    expectUpstream: [{ target: '/other' }],
  },
  {
    name: 'health_check: a check with a body',
    filters: [healthCheck({ pass_through_mode: false })],
    steps: [{ path, method: 'POST', body: 'abc', expect: { status: 200 } }],
    expectUpstream: [],
  },
  {
    name: 'health_check: enough healthy hosts',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { app: { value: 100 } } })],
    steps: [{ path, expect: { status: 200, log: '200 - health_check_ok_cluster_healthy' } }],
  },
  {
    name: 'health_check: no hosts at all',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { empty: { value: 1 } } })],
    steps: [{ path, expect: { status: 503, body: '', log: '503 LH health_check_failed_cluster_empty' } }],
  },
  {
    name: 'health_check: hosts, and none is healthy',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { sick: { value: 1 } } })],
    steps: [{ path, expect: { status: 503, body: '', log: '503 LH health_check_failed_cluster_unhealthy' } }],
  },
  {
    name: 'health_check: a degraded host counts',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { half: { value: 50 } } })],
    steps: [{ path, expect: { status: 200, log: '200 - health_check_ok_cluster_healthy' } }],
  },
  {
    name: 'health_check: not enough of them',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { half: { value: 51 } } })],
    steps: [{ path, expect: { status: 503, log: '503 LH health_check_failed_cluster_unhealthy' } }],
  },
  {
    name: 'health_check: no hosts where none are needed',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { empty: { value: 0 } } })],
    steps: [{ path, expect: { status: 200, log: '200 - health_check_ok_cluster_healthy' } }],
  },
  {
    name: 'health_check: no such cluster',
    filters: [healthCheck({ pass_through_mode: false, cluster_min_healthy_percentages: { none: { value: 1 } } })],
    steps: [{ path, expect: { status: 503, log: '503 LH health_check_failed_no_cluster_found' } }],
  },
  {
    name: 'health_check: lets checks through',
    filters: [healthCheck({ pass_through_mode: true })],
    upstreams: { app: [{ status: 503, body: 'down' }] },
    steps: [{ path, expect: { status: 503, body: 'down', headers: { [CHECKED]: 'test-service' } } }],
    expectUpstream: [{ target: path }],
  },
  {
    name: 'health_check: remembers the answer of the application',
    filters: [healthCheck({ pass_through_mode: true, cache_time: '600s' })],
    upstreams: { app: [{ status: 503, body: 'down', headers: { 'x-envoy-degraded': '' } }, { status: 200 }] },
    steps: [
      { path, expect: { status: 503, body: 'down' } },
      {
        path,
        expect: { status: 503, body: '', headers: { 'x-envoy-degraded': '' }, log: '503 LH health_check_cached' },
      },
    ],
    expectUpstream: [{ target: path }],
  },
  {
    name: 'health_check: a failed proxy says so',
    adminBefore: ['/healthcheck/fail'],
    adminAfter: ['/healthcheck/ok'],
    filters: [healthCheck({ pass_through_mode: true })],
    steps: [
      { path, expect: { status: 503, headers: { [CHECKED]: 'test-service' }, log: '503 LH health_check_failed ' } },
      { path: '/other', expect: { status: 200, headers: { 'x-envoy-immediate-health-check-fail': 'true' } } },
    ],
    expectUpstream: [{ target: '/other' }],
  },
]

export const healthCheckScenarios: readonly FilterScenario[] = scenarios.map(scenario => ({ ...scenario, stats }))
