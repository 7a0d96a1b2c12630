import { type Json, percent, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'

const name = 'envoy.filters.http.fault'
const message = (fields: Record<string, Json>): Json => typed('http.fault.v3.HTTPFault', fields)
const fault = (fields: Record<string, Json>): Json => ({ name, typed_config: message(fields) })

const abort = (status: number, percentage = 100): Json => ({ http_status: status, percentage: percent(percentage) })
const delay = (seconds: string, percentage = 100): Json => ({ fixed_delay: seconds, percentage: percent(percentage) })

const STATS = ['aborts_injected', 'delays_injected', 'active_faults', 'faults_overflow', 'response_rl_injected'].map(
  stat => `http.{prefix}.fault.${stat}`,
)
const GRPC = { 'content-type': 'application/grpc', te: 'trailers' }
/** A body long enough to be slowed down: 2 KiB. */
const LONG = 'x'.repeat(2048)

export const faultScenarios: readonly FilterScenario[] = [
  {
    name: 'fault: an abort answers with its status',
    filters: [fault({ abort: abort(503) })],
    steps: [
      {
        expect: {
          status: 503,
          body: 'fault filter abort',
          headers: { 'content-type': 'text/plain', 'content-length': '18' },
          log: '503 FI fault_filter_abort',
        },
      },
    ],
    stats: STATS,
    expectStats: { 'http.{prefix}.fault.aborts_injected': 1 },
    expectUpstream: [],
  },
  {
    name: 'fault: an abort of no percentage never happens',
    filters: [fault({ abort: { http_status: 503 } })],
    steps: [{ expect: { status: 200 } }],
    stats: STATS,
  },
  {
    name: 'fault: an abort may have a body of its own',
    filters: [fault({ abort: { http_status: 500, percentage: percent(100), response_body: 'broken on purpose' } })],
    steps: [{ expect: { status: 500, body: 'broken on purpose' } }],
  },
  {
    name: 'fault: a delay waits, then the request goes on',
    filters: [fault({ delay: delay('0.1s') })],
    steps: [
      {
        method: 'POST',
        body: 'abc',
        expect: { status: 200, atLeastMs: 95, log: '200 DI via_upstream' },
      },
    ],
    stats: STATS,
    expectStats: { 'http.{prefix}.fault.delays_injected': 1, 'http.{prefix}.fault.active_faults': 0 },
    expectUpstream: [{ body: 'abc' }],
  },
  {
    name: 'fault: an abort comes after the delay',
    filters: [fault({ delay: delay('0.1s'), abort: abort(504) })],
    steps: [{ expect: { status: 504, atLeastMs: 95, log: '504 DI,FI fault_filter_abort' } }],
    stats: STATS,
    expectUpstream: [],
  },
  {
    name: 'fault: a client that leaves during the delay ends it',
    filters: [fault({ delay: delay('5s') })],
    steps: [{ leaveAfterMs: 60 }, { waitMs: 60, leaveAfterMs: 60 }],
    stats: STATS,
    expectStats: { 'http.{prefix}.fault.delays_injected': 2 },
    expectUpstream: [],
  },
  {
    name: 'fault: the request chooses its delay',
    filters: [fault({ delay: { header_delay: {}, percentage: percent(100) } })],
    steps: [
      { headers: { 'x-envoy-fault-delay-request': '100' }, expect: { log: '200 DI via_upstream', atLeastMs: 95 } },
      { expect: { log: '200 - via_upstream' } },
      { headers: { 'x-envoy-fault-delay-request': 'soon' }, expect: { log: '200 - via_upstream' } },
      {
        headers: { 'x-envoy-fault-delay-request': '200', 'x-envoy-fault-delay-request-percentage': '0' },
        expect: { log: '200 - via_upstream' },
      },
    ],
    stats: STATS,
  },
  {
    name: 'fault: the request chooses its abort',
    filters: [fault({ abort: { header_abort: {}, percentage: percent(100) } })],
    steps: [
      { headers: { 'x-envoy-fault-abort-request': '418' }, expect: { status: 418, body: 'fault filter abort' } },
      { headers: { 'x-envoy-fault-abort-request': '999' }, expect: { status: 200 } },
      { headers: { 'x-envoy-fault-abort-request': '199' }, expect: { status: 200 } },
      { expect: { status: 200 } },
      {
        headers: { 'x-envoy-fault-abort-request': '418', 'x-envoy-fault-abort-request-percentage': '0' },
        expect: { status: 200 },
      },
      { headers: { ...GRPC, 'x-envoy-fault-abort-grpc-request': '5' }, expect: { status: 200 } },
    ],
    stats: STATS,
  },
  {
    name: 'fault: a gRPC status for a gRPC request',
    filters: [fault({ abort: { grpc_status: 14, percentage: percent(100) } })],
    steps: [
      {
        method: 'POST',
        headers: GRPC,
        expect: { status: 200, headers: { 'grpc-status': '14', 'grpc-message': 'fault filter abort' } },
      },
    ],
    expectUpstream: [],
  },
  {
    name: 'fault: a gRPC status for any other request',
    filters: [fault({ abort: { grpc_status: 14, percentage: percent(100) } })],
    steps: [{ expect: { body: 'fault filter abort', headers: { 'grpc-status': null } } }],
    expectUpstream: [],
  },
  {
    name: 'fault: an HTTP status for a gRPC request',
    filters: [fault({ abort: abort(429) })],
    steps: [{ method: 'POST', headers: GRPC, expect: { status: 200, headers: { 'grpc-status': '14' } } }],
  },
  {
    name: 'fault: only requests whose headers match',
    filters: [
      fault({
        abort: abort(500),
        headers: [
          { name: 'x-fault', string_match: { exact: 'yes' } },
          { name: 'x-also', present_match: true },
        ],
      }),
    ],
    steps: [
      { headers: { 'x-fault': 'yes' }, expect: { status: 200 } },
      { headers: { 'x-fault': 'yes', 'x-also': '1' }, expect: { status: 500 } },
      { expect: { status: 200 } },
    ],
  },
  {
    name: 'fault: only requests to a cluster',
    filters: [fault({ abort: abort(500), upstream_cluster: 'empty' })],
    routes: [
      { match: { path: '/empty' }, route: { cluster: 'empty' } },
      { match: { prefix: '/' }, route: { cluster: 'app' } },
    ],
    steps: [{ expect: { status: 200 } }, { path: '/empty', expect: { status: 500, body: 'fault filter abort' } }],
  },
  {
    name: 'fault: only requests of certain nodes',
    filters: [fault({ abort: abort(500), downstream_nodes: ['n1', 'n2'] })],
    steps: [
      { expect: { status: 200 } },
      { headers: { 'x-envoy-downstream-service-node': 'n2' } },
      { headers: { 'x-envoy-downstream-service-node': 'n3' }, expect: { status: 200 } },
    ],
  },
  {
    name: 'fault: no more than the allowed number at once',
    filters: [fault({ abort: abort(500), max_active_faults: 0 })],
    steps: [{ expect: { status: 200 } }],
    stats: STATS,
    expectStats: { 'http.{prefix}.fault.faults_overflow': 1 },
  },
  {
    name: "fault: a route's own settings replace the filter's",
    filters: [fault({ abort: abort(500) })],
    routes: [
      {
        match: { path: '/other' },
        route: { cluster: 'app' },
        typed_per_filter_config: { [name]: message({ abort: abort(418) }) },
      },
      {
        match: { path: '/none' },
        route: { cluster: 'app' },
        typed_per_filter_config: { [name]: message({ abort: abort(500, 0) }) },
      },
      { match: { prefix: '/' }, route: { cluster: 'app' } },
    ],
    steps: [
      { path: '/other', expect: { status: 418 } },
      { path: '/none', expect: { status: 200 } },
      { expect: { status: 500 } },
    ],
    stats: STATS,
  },
  {
    name: 'fault: a response at 10 KiB a second',
    filters: [fault({ response_rate_limit: { fixed_limit: { limit_kbps: 10 }, percentage: percent(100) } })],
    upstreams: { app: [{ status: 200, body: LONG }] },
    steps: [{ expect: { status: 200, body: LONG, atLeastMs: 130, atMostMs: 5000 } }],
    stats: STATS,
    expectStats: { 'http.{prefix}.fault.response_rl_injected': 1 },
  },
  {
    name: 'fault: the request chooses the throughput',
    filters: [fault({ response_rate_limit: { header_limit: {}, percentage: percent(100) } })],
    upstreams: { app: [{ status: 200, chunks: [LONG, 'end'], trailers: [['x-sum', '1']] }] },
    steps: [
      { headers: { 'x-envoy-fault-throughput-response': '10' }, expect: { atLeastMs: 130 } },
      { expect: { status: 200 } },
      { headers: { 'x-envoy-fault-throughput-response': '0' }, expect: { status: 200 } },
    ],
    stats: STATS,
    expectStats: { 'http.{prefix}.fault.response_rl_injected': 1 },
  },
  {
    name: 'fault: metadata of a faulted request is in the log',
    filters: [fault({ abort: abort(500), filter_metadata: { note: 'on purpose' } })],
    steps: [{ expect: { log: 'meta=on purpose' } }],
  },
  {
    name: 'fault: runtime keys of its own',
    filters: [
      fault({
        abort: abort(500, 0),
        abort_percent_runtime: 'test.abort_percent',
        abort_http_status_runtime: 'test.abort_status',
        delay: delay('3s'),
        delay_duration_runtime: 'test.delay_ms',
      }),
    ],
    steps: [{ expect: { status: 418, atLeastMs: 75, atMostMs: 2500 } }],
  },
  {
    name: 'fault: stats of the downstream cluster',
    filters: [fault({ abort: abort(500) })],
    steps: [{ headers: { 'x-envoy-downstream-service-cluster': 'caller' }, expect: { status: 500 } }],
    stats: ['http.{prefix}.fault.caller.aborts_injected', ...STATS],
  },
  {
    name: 'fault: an abort without a body',
    filters: [fault({ abort: abort(204) })],
    steps: [{ expect: { status: 204, body: '' } }, { method: 'HEAD', expect: { status: 204 } }],
  },
  {
    name: 'fault: a body of its own for a gRPC request',
    filters: [fault({ abort: { http_status: 500, percentage: percent(100), response_body: '50% broken' } })],
    steps: [
      { method: 'POST', headers: GRPC, expect: { headers: { 'grpc-status': '2', 'grpc-message': '50%25 broken' } } },
    ],
  },
  {
    name: 'fault: metadata of a delayed request',
    filters: [fault({ delay: delay('0.01s'), filter_metadata: { note: 'late' } })],
    steps: [{ expect: { log: 'meta=late' } }],
  },
]
