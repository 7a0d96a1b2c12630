/**
 * What no single message can tell: names that must exist, or exist once, and values whose meaning needs more than the
 * schema (addresses, regular expressions, our own settings). Runs after decoding, on what decoding made.
 */
import type { Problems } from '../problems.ts'
import type { Bootstrap, Cluster, Listener, RouteConfiguration } from '../schema/generated/types.ts'
import { type MessageDescriptor, schema } from '../schema/table.ts'
import { checkClusters } from './clusters.ts'
import { checkListeners } from './listeners.ts'
import { Report } from './report.ts'
import { checkRouteConfiguration } from './routes.ts'
import { checkRuntime } from './runtime.ts'
import { checkValues } from './values.ts'

export function checkReferences(bootstrap: Bootstrap, problems: Problems): void {
  const report = new Report(problems)
  const { listeners = [], clusters = [] } = bootstrap.staticResources ?? {}
  const clusterNames = new Set(clusters.map(({ name }) => name))
  checkClusters(clusters, report)
  checkListeners(listeners, { clusterNames, report })
  if (bootstrap.layeredRuntime) checkRuntime(bootstrap.layeredRuntime, report)
  checkValues(descriptorOf('envoy.config.bootstrap.v3.Bootstrap'), bootstrap, { clusterNames, report })
}

/** What can be said of a piece without the rest; clusters that it names may stand anywhere. */
export function checkFragmentReferences(value: unknown, key: string, problems: Problems): void {
  if (value === undefined) return
  const report = new Report(problems)
  const context = { clusterNames: undefined, report }
  if (key === 'clusters') {
    checkClusters(value as readonly Cluster[], report)
    for (const cluster of value as readonly Cluster[])
      checkValues(descriptorOf('envoy.config.cluster.v3.Cluster'), cluster, context)
  } else if (key === 'listeners') {
    checkListeners(value as readonly Listener[], context)
    for (const listener of value as readonly Listener[]) {
      checkValues(descriptorOf('envoy.config.listener.v3.Listener'), listener, context)
    }
  } else if (key === 'route_config') {
    const routeConfiguration = value as RouteConfiguration
    checkRouteConfiguration(routeConfiguration, { ...context, filterNames: undefined })
    checkValues(descriptorOf('envoy.config.route.v3.RouteConfiguration'), routeConfiguration, context)
  }
}

function descriptorOf(typeName: string): MessageDescriptor {
  return schema().message(typeName)!
}
