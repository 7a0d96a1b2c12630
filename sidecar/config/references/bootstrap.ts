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

/** What can be said of one resource without the others; clusters that it names may stand anywhere. */
export function checkResource(typeName: string, value: object, problems: Problems): void {
  const context = { clusterNames: undefined, filterNames: undefined, report: new Report(problems) }
  if (typeName === clusterType) checkClusters([value as Cluster], context.report)
  else if (typeName === listenerType) checkListeners([value as Listener], context)
  else if (typeName === routeConfigurationType) checkRouteConfiguration(value as RouteConfiguration, context)
  else return
  checkValues(descriptorOf(typeName), value, context)
}

/** A field of a message that is not there as a whole: see `fragments.ts`. */
export function checkFragmentReferences(value: unknown, key: string, problems: Problems): void {
  if (value === undefined) return
  if (key === 'route_config') checkResource(routeConfigurationType, value as RouteConfiguration, problems)
  if (key === 'clusters')
    for (const cluster of value as readonly Cluster[]) checkResource(clusterType, cluster, problems)
  if (key === 'listeners') for (const item of value as readonly Listener[]) checkResource(listenerType, item, problems)
}

const clusterType = 'envoy.config.cluster.v3.Cluster'
const listenerType = 'envoy.config.listener.v3.Listener'
const routeConfigurationType = 'envoy.config.route.v3.RouteConfiguration'

function descriptorOf(typeName: string): MessageDescriptor {
  return schema().message(typeName)!
}
