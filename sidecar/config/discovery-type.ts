/**
 * How a cluster's endpoints are found, whichever way it is written: the enum `type`, or a `cluster_type` with a
 * `DnsCluster`, which Envoy prefers since 1.35.
 */
import type { Cluster, Cluster_DiscoveryType, DnsCluster } from './schema/generated/types.ts'

/** Undefined for an extension other than DnsCluster. */
export function discoveryType(cluster: Cluster): Cluster_DiscoveryType | undefined {
  const { clusterType } = cluster
  if (!clusterType) return cluster.type === 'LOGICAL_DNS' ? logicalOrStrict(cluster) : (cluster.type ?? 'STATIC')
  if (clusterType.typedConfig?.typeUrl !== 'envoy.extensions.clusters.dns.v3.DnsCluster') return undefined
  const { allAddressesInSingleEndpoint } = clusterType.typedConfig.value as DnsCluster
  return allAddressesInSingleEndpoint ? logicalOrStrict(cluster) : 'STRICT_DNS'
}

/** LOGICAL_DNS is for one name. With several, which Envoy refuses, STRICT_DNS is what was meant. */
function logicalOrStrict({ loadAssignment }: Cluster): Cluster_DiscoveryType {
  const endpoints = (loadAssignment?.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints)
  return endpoints.length > 1 ? 'STRICT_DNS' : 'LOGICAL_DNS'
}
