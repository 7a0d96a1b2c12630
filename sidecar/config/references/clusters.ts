/** Clusters: unique names, and what each discovery type asks of its endpoints. */
import { isIP } from 'node:net'
import type { Cluster, ClusterLoadAssignment, SocketAddress } from '../schema/generated/types.ts'
import { lineOf, type Report } from './report.ts'

export function checkClusters(clusters: readonly Cluster[], report: Report): void {
  const byName = new Map<string, Cluster>()
  for (const cluster of clusters) {
    const earlier = byName.get(cluster.name)
    if (earlier) {
      const text = `the cluster "${cluster.name}" is there already, on ${lineOf(earlier)}`
      report.error(cluster, 'name', text, 'duplicate')
    }
    byName.set(cluster.name, cluster)
    checkDiscovery(cluster, report)
    checkPerHostThresholds(cluster, report)
  }
}

/** The discovery type, whichever way it is written. `DnsCluster` is the form that Envoy prefers since 1.35. */
function checkDiscovery(cluster: Cluster, report: Report): void {
  const type = cluster.type ?? (cluster.clusterType ? undefined : 'STATIC')
  const endpoints = endpointsOf(cluster.loadAssignment)
  if (type === 'STATIC') {
    for (const address of endpoints) {
      if (isIP(address.address) === 0) {
        const text = `"${address.address}" is a name, not an IP address; set the cluster's type to STRICT_DNS`
        report.error(address, 'address', text, 'rule')
      }
    }
  }
  if (type === 'LOGICAL_DNS') checkLogicalDns(cluster, endpoints.length, report)
  if (type === 'EDS' && !cluster.edsClusterConfig) {
    report.error(cluster, 'type', 'an EDS cluster needs eds_cluster_config', 'rule')
  }
  if (type === undefined || type === 'EDS' || type === 'ORIGINAL_DST' || endpoints.length > 0) return
  if (type === 'LOGICAL_DNS' && !cluster.loadAssignment) return
  const text = `the cluster has no endpoints, so every request to it fails; give it a load_assignment`
  report.warning(cluster, cluster.loadAssignment ? 'loadAssignment' : undefined, text, 'advice')
}

function checkPerHostThresholds({ circuitBreakers }: Cluster, report: Report): void {
  for (const thresholds of circuitBreakers?.perHostThresholds ?? []) {
    for (const field of ONLY_OF_CLUSTERS) {
      if (thresholds[field] === undefined || thresholds[field] === false) continue
      report.error(thresholds, field, 'is no limit of single hosts; of these there is only max_connections', 'rule')
    }
  }
}

/** What Envoy refuses in `per_host_thresholds`. */
const ONLY_OF_CLUSTERS = [
  'maxPendingRequests',
  'maxRequests',
  'maxRetries',
  'maxConnectionPools',
  'retryBudget',
  'trackRemaining',
] as const

const envoyOnLogicalDns = 'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint'

function checkLogicalDns(cluster: Cluster, count: number, report: Report): void {
  const { loadAssignment } = cluster
  if (!loadAssignment) {
    report.error(cluster, 'type', 'a LOGICAL_DNS cluster needs a load_assignment with its one name', 'rule')
  } else if (count === 0) {
    report.error(loadAssignment, 'endpoints', 'a LOGICAL_DNS cluster needs its one name here', 'rule')
  } else if (count > 1 || loadAssignment.endpoints.length > 1) {
    const text = `LOGICAL_DNS takes one name and there are ${count}: treated as STRICT_DNS, which is the type to write here`
    report.pedantry(cluster, 'type', text, envoyOnLogicalDns)
  }
}

function endpointsOf(assignment: ClusterLoadAssignment | undefined): SocketAddress[] {
  return (assignment?.endpoints ?? []).flatMap(({ lbEndpoints }) =>
    lbEndpoints.flatMap(({ endpoint }) => endpoint?.address?.socketAddress ?? []),
  )
}
