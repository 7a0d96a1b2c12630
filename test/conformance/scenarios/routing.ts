/**
 * How route tables choose, rewrite and answer, as Envoy 1.40 does it: one listener per scenario, so that each has its
 * own route configuration. Three upstreams, `app`, `blue` and `green`, answer with their name, so that a body tells
 * which cluster was chosen. The expectations were measured on Envoy and are asserted on Envoy too.
 */
import type { Scenario, Step, Suite } from '../../kit/side-by-side.ts'
import { bootstrap, cluster, type HttpListener, httpListener, type Json } from './bootstrap.ts'
import { headerMutationScenarios } from './routing-headers.ts'
import { hostScenarios } from './routing-hosts.ts'
import { internalRedirectScenarios } from './routing-internal-redirect.ts'
import { matchScenarios } from './routing-match.ts'
import { mirrorScenarios } from './routing-mirror.ts'
import { redirectScenarios } from './routing-redirect.ts'
import { rewriteScenarios } from './routing-rewrite.ts'

/** A scenario with the listener it runs on. */
export interface RoutingScenario extends Omit<Scenario, 'listen'>, Omit<HttpListener, 'name' | 'filters'> {}

export const routingScenarios: readonly RoutingScenario[] = [
  ...matchScenarios,
  ...hostScenarios,
  ...rewriteScenarios,
  ...redirectScenarios,
  ...headerMutationScenarios,
  ...mirrorScenarios,
  ...internalRedirectScenarios,
]

export const UPSTREAMS = ['app', 'blue', 'green'] as const

/** `r7`: short, because it is the stat prefix. */
const listenerName = (index: number) => `r${index}`

export function routingSuiteOf(scenarios: readonly RoutingScenario[]): Suite {
  return {
    name: 'routing',
    config: bootstrap({
      listeners: scenarios.map((scenario, i) => httpListener({ ...scenario, name: listenerName(i) })),
      clusters: UPSTREAMS.map(name => cluster(name, `{{upstream:${name}}}`)),
      more: `layered_runtime:
  layers:
  - name: static
    static_layer: {routing: {on: 100, off: 0, weights: {app: 0, blue: 100, green: 0}}}
`,
    }),
    scenarios: scenarios.map((scenario, i) => ({
      ...scenario,
      listen: listenerName(i),
      upstreams: {
        ...Object.fromEntries(UPSTREAMS.map(name => [name, [{ status: 200, body: name }]])),
        ...scenario.upstreams,
      },
    })),
  }
}

export const routingSuite = routingSuiteOf(routingScenarios)

export type { Json, Step }
