/** What filters ask of the proxy itself, beside what every filter is given. */
import type { FilterContext } from '../../filter-chain/http-filter.ts'

/** The operator has failed this proxy's health (`/healthcheck/fail`), or it is draining. */
export interface HealthState {
  readonly failed: boolean
}

export interface ProxyState {
  readonly health: HealthState
  /** `node.cluster`, '' where the node has none. */
  readonly localCluster: string
}

/** Where the server gives none of it, nothing has failed and the cluster has no name. */
export function proxyStateOf(context: FilterContext & Partial<ProxyState>): ProxyState {
  return { health: context.health ?? { failed: false }, localCluster: context.localCluster ?? '' }
}
