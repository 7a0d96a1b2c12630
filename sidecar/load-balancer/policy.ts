/**
 * The contract of load-balancing policies. A policy chooses among the hosts of one list; which list (priority, locality,
 * healthy, degraded, or all of them in panic) is decided above it, in `priority-balancer.ts`, the same for every policy.
 *
 * A policy is one file with one {@link LoadBalancingPolicy} in it, and one line in the list that the cluster manager is
 * given. Nothing registers itself.
 */
import type { Random } from '../base/random.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { Cluster_LbPolicy, Cluster as ClusterMessage } from '../config/schema/generated/types.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Host } from '../upstream/host.ts'

/** What a load balancer may look at when it chooses. */
export interface LoadBalancerContext {
  readonly headers: RequestHeaders | undefined
  readonly info: StreamInfo | undefined
  /** Hash of the request by the route's `hash_policy`, or undefined where none applies. */
  readonly hash: bigint | undefined
  /** Route's `metadata_match`, for subsets. */
  readonly metadataMatch: unknown
  /** On a retry: true for a host that should not be chosen again. Asked at most `hostSelectionMaxAttempts` times. */
  shouldSelectAnotherHost(host: Host): boolean
  readonly hostSelectionMaxAttempts: number
}

/** Chooses among one list of hosts. Keeps its place when the list changes, as far as that makes sense. */
export interface HostPicker {
  /** The list to choose from, from now on; called whenever hosts, health or weights change. */
  update(hosts: readonly Host[]): void
  /** A host, or undefined when the list is empty. */
  pick(context: LoadBalancerContext): Host | undefined
}

/** Makes the pickers of one cluster: one for each list that is chosen from. */
export interface HostPickerFactory {
  createPicker(random: Random): HostPicker
}

export interface LoadBalancingPolicy {
  /** `envoy.load_balancing_policies.round_robin`. */
  readonly name: string
  /** Full name of the message in `load_balancing_policy.policies[].typed_extension_config.typed_config`. */
  readonly typeUrl: string
  /** Value of the old `lb_policy` field that means this policy, if any. */
  readonly lbPolicy: Cluster_LbPolicy | undefined
  /** From the typed message of the new form. */
  fromMessage(message: object): HostPickerFactory
  /** From the fields of the cluster that go with `lb_policy` (`least_request_lb_config` and the like). */
  fromCluster(cluster: ClusterMessage): HostPickerFactory
}
