/**
 * What the HTTP filters do, as Envoy 1.40 does it: one listener per scenario, so that each has its own filters.
 * The expectations were measured on Envoy and are asserted on Envoy too.
 */
import type { Scenario, Suite } from '../../kit/side-by-side.ts'
import { bootstrap, cluster, type HttpListener, httpListener, typed } from './bootstrap.ts'
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

/** `s7`: short, because it is the stat prefix. */
const listenerName = (index: number) => `s${index}`

/** A suite of some of the scenarios, or all. */
export function filtersSuiteOf(scenarios: readonly FilterScenario[]): Suite {
  return {
    name: 'filters',
    config: bootstrap({
      listeners: scenarios.map((scenario, i) => httpListener({ ...scenario, name: listenerName(i) })),
      clusters: [
        cluster('app', '{{upstream:app}}'),
        cluster('trailing', '{{upstream:app}}', {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
              'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              { explicit_http_config: { http_protocol_options: { enable_trailers: true } } },
            ),
          },
        }),
        { name: 'empty', type: 'STATIC', load_assignment: { cluster_name: 'empty' } },
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
export const envoyOnlySuite = filtersSuiteOf(all.filter(scenario => scenario.envoyOnly !== undefined))
