/** What load balancers may ask of the request they choose a host for. */
import type { LoadBalancerContext } from '../cluster/cluster.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Host } from '../upstream/host.ts'
import type { RetryState } from './retry-state.ts'
import type { RouteEntry } from './route-entry.ts'

export class HostWishes implements LoadBalancerContext {
  readonly headers: RequestHeaders
  readonly info: StreamInfo
  readonly #route: RouteEntry
  readonly #retry: RetryState | undefined

  constructor(headers: RequestHeaders, info: StreamInfo, route: RouteEntry, retry: RetryState | undefined) {
    this.headers = headers
    this.info = info
    this.#route = route
    this.#retry = retry
  }

  get hash(): bigint | undefined {
    return this.#route.hash(this.headers, this.info)
  }

  get metadataMatch(): unknown {
    return this.#route.metadataMatch
  }

  get hostSelectionMaxAttempts(): number {
    return this.#retry?.maxHostSelectionAttempts ?? 1
  }

  shouldSelectAnotherHost(host: Host): boolean {
    return this.#retry?.shouldSelectAnotherHost(host) === true
  }
}
