/** From the endpoints of a `load_assignment` to what hosts are made of. */
import type { Address } from '../base/address.ts'
import { hopwiseMetadata } from '../config/hopwise-metadata.ts'
import type {
  ClusterLoadAssignment,
  HealthStatus,
  LbEndpoint,
  LocalityLbEndpoints,
} from '../config/schema/generated/types.ts'
import { HostHealth, type Locality } from '../upstream/host.ts'
import type { Endpoint } from '../upstream/running-host.ts'

const NO_LOCALITY: Locality = Object.freeze({ region: '', zone: '', subZone: '' })

const HEALTH: Readonly<Record<HealthStatus, number>> = {
  UNKNOWN: HostHealth.Healthy,
  HEALTHY: HostHealth.Healthy,
  DEGRADED: HostHealth.Degraded,
  UNHEALTHY: HostHealth.FailedEds,
  DRAINING: HostHealth.FailedEds,
  TIMEOUT: HostHealth.FailedEds,
}

/** Every endpoint, in the order of the file; its address may be a name that discovery has yet to resolve. */
export function endpointsOf(assignment: ClusterLoadAssignment | undefined): Endpoint[] {
  const endpoints: Endpoint[] = []
  for (const group of assignment?.endpoints ?? []) {
    for (const entry of group.lbEndpoints) {
      const address = addressOf(entry)
      if (address !== undefined) endpoints.push(endpointOf(entry, group, address))
    }
  }
  return endpoints
}

function addressOf(entry: LbEndpoint): Address | undefined {
  const address = entry.endpoint?.address
  if (address?.pipe !== undefined) return { ip: address.pipe.path, port: 0 }
  const socket = address?.socketAddress
  return socket && { ip: socket.address, port: socket.portValue ?? 0 }
}

function endpointOf(entry: LbEndpoint, group: LocalityLbEndpoints, address: Address): Endpoint {
  return {
    identity: '',
    address,
    hostname: entry.endpoint?.hostname ?? '',
    serviceName: hopwiseMetadata(entry.metadata).service ?? '',
    metadata: entry.metadata,
    locality: group.locality ?? NO_LOCALITY,
    localityWeight: group.loadBalancingWeight ?? 0,
    priority: group.priority,
    weight: entry.loadBalancingWeight ?? 1,
    health: HEALTH[entry.healthStatus],
    canary: entry.metadata?.filterMetadata.get('envoy.lb')?.['canary'] === true,
  }
}
