/**
 * What the HTTP filters do, as Envoy 1.40 does it: one listener per scenario, so that each has its own filters.
 * The expectations were measured on Envoy and are asserted on Envoy too.
 */
import type { Scenario, Suite } from '../../kit/side-by-side.ts'
import { bootstrap, cluster, type HttpListener, httpListener, type Json } from './bootstrap.ts'
import { HTTP2_CLUSTER, httpOptions } from './exchange.ts'
import { bufferScenarios } from './filters-buffer.ts'
import { corsScenarios } from './filters-cors.ts'
import { faultScenarios } from './filters-fault.ts'
import { grpcScenarios } from './filters-grpc.ts'
import { grpcJsonScenarios } from './filters-grpc-json.ts'
import { headerMutationScenarios } from './filters-header-mutation.ts'
import { healthCheckScenarios } from './filters-health-check.ts'
import { localRateLimitScenarios } from './filters-local-rate-limit.ts'

/** A scenario with the listener it runs on. The listener's name is made from the scenario's. */
export interface FilterScenario extends Omit<Scenario, 'listen'>, Omit<HttpListener, 'name'> {
  /** Why Hopwise does not load this configuration (yet): the scenario is run on Envoy alone. */
  envoyOnly?: string
}

const all: readonly FilterScenario[] = [
  ...bufferScenarios,
  ...faultScenarios,
  ...healthCheckScenarios,
  ...headerMutationScenarios,
  ...corsScenarios,
  ...localRateLimitScenarios,
  ...grpcScenarios,
  ...grpcJsonScenarios,
]

/** A cluster whose hosts are as the configuration says; nobody calls them. */
function clusterOfHealth(name: string, ...statuses: readonly string[]): Json {
  const endpoints = statuses.map((health_status, i) => ({
    health_status,
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: i + 1 } } },
  }))
  return { name, type: 'STATIC', load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] } }
}

/** `s7`: short, because it is the stat prefix. */
const listenerName = (index: number) => `s${index}`

const TRAILERS_CLUSTER = {
  typed_extension_protocol_options: httpOptions({
    explicit_http_config: { http_protocol_options: { enable_trailers: true } },
  }),
}

/** A suite of some of the scenarios, or all; over HTTP/2 on both sides instead of HTTP/1.1. */
export function filtersSuiteOf(scenarios: readonly FilterScenario[], http2 = false): Suite {
  return {
    name: http2 ? 'filters over HTTP/2' : 'filters',
    config: bootstrap({
      listeners: scenarios.map((scenario, i) => httpListener({ ...scenario, name: listenerName(i) })),
      clusters: [
        cluster('app', '{{upstream:app}}', http2 ? HTTP2_CLUSTER : {}),
        cluster('trailing', '{{upstream:app}}', http2 ? HTTP2_CLUSTER : TRAILERS_CLUSTER),
        { name: 'empty', type: 'STATIC', load_assignment: { cluster_name: 'empty' } },
        clusterOfHealth('sick', 'UNHEALTHY', 'UNHEALTHY'),
        clusterOfHealth('half', 'DEGRADED', 'UNHEALTHY'),
      ],
      more: `layered_runtime:
  layers:
  - name: static
    static_layer: {test: {abort_percent: 100, abort_status: 418, delay_ms: 80}}
`,
    }),
    scenarios: scenarios.map((scenario, i) => {
      // `{prefix}` in a stat's name is the listener's stat prefix.
      const named = (stat: string) => stat.replace('{prefix}', listenerName(i))
      const { stats, expectStats } = scenario
      return {
        ...scenario,
        ...(http2 && { http2 }),
        listen: listenerName(i),
        ...(stats && { stats: stats.map(named) }),
        ...(expectStats && {
          expectStats: Object.fromEntries(Object.entries(expectStats).map(([key, value]) => [named(key), value])),
        }),
      }
    }),
  }
}

export const filtersSuite = filtersSuiteOf(all.filter(scenario => scenario.envoyOnly === undefined))
/** What is expected was measured over HTTP/1.1: over HTTP/2 both sides are compared and nothing more. */
export const filtersHttp2Suite = filtersSuiteOf(
  [...grpcScenarios, ...grpcJsonScenarios]
    .filter(scenario => scenario.envoyOnly === undefined)
    .map(({ expectUpstream: _, expectStats, ...scenario }) => ({
      ...scenario,
      stats: [...(scenario.stats ?? []), ...Object.keys(expectStats ?? {})],
      steps: scenario.steps.map(({ expect: _, ...step }) => step),
    })),
  true,
)
export const envoyOnlySuite = filtersSuiteOf(all.filter(scenario => scenario.envoyOnly !== undefined))
