/** What failure location is told of attempts that came to nothing. */
import type { Cluster } from '../cluster/cluster.ts'
import type { StreamFailure } from '../codec/stream.ts'
import type { AttemptFacts } from '../failure-origin/contract.ts'
import { type Host, HostHealth } from '../upstream/host.ts'
import type { UpstreamRequest } from './upstream-request.ts'

export function factsOf(failure: StreamFailure, upstream: UpstreamRequest): AttemptFacts {
  return {
    kind: failure.kind,
    details: failure.details,
    tlsCause: failure.tlsCause,
    limit: failure.limit,
    trailers: failure.trailers,
    lastFailure: failure.kind === 'overflow' ? upstream.host.lastFailure : '',
    reusedConnection: upstream.reused,
    host: upstream.host.addressText,
  }
}

export function factsOfNoHost(cluster: Cluster): AttemptFacts {
  return {
    kind: 'no_host',
    details: cluster.discoveryFailure,
    noHost: whyNoHost(cluster),
    lastFailure: lastFailureOf(cluster),
  }
}

function whyNoHost(cluster: Cluster): AttemptFacts['noHost'] {
  if (cluster.discoveryFailure !== '') return 'dns'
  if (cluster.hosts.length === 0) return 'eds_empty'
  return cluster.hosts.some(host => (host.health & HostHealth.FailedOutlierCheck) !== 0)
    ? 'all_ejected'
    : 'health_failed'
}

function lastFailureOf(cluster: Cluster): string {
  let last: Host | undefined
  for (const host of cluster.hosts) if (last === undefined || host.lastFailureAtMs > last.lastFailureAtMs) last = host
  return last?.lastFailure ?? ''
}
