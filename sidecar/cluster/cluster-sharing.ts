/**
 * Clusters of a process with worker threads. The control side (main thread) asks the DNS and judges hosts, once, and
 * publishes what came of it; each worker has all clusters with pools of its own, and makes no such decision. Limits are
 * counted in common memory (circuit-breaker.ts), and so is how hosts answer (shared-outlier.ts).
 */
import type { Endpoint } from '../upstream/running-host.ts'
import type { EjectionType } from './outlier-settings.ts'

/** All that a worker needs of a cluster beyond its configuration: structured-clonable. */
export interface PublishedCluster {
  readonly breakers: SharedArrayBuffer
  /** `health` has all bits: those of discovery and those of outlier detection. */
  readonly hosts: readonly Endpoint[]
  readonly discoveryFailure: string
}

export interface ControlSharing {
  readonly side: 'control'
  /** How many workers count. */
  readonly workers: number
}

export interface WorkerSharing {
  readonly side: 'worker'
  readonly worker: number
  /** What was published last; undefined for a name that the control side does not know. */
  published(clusterName: string): PublishedCluster | undefined
  reportRow(clusterName: string, hostIdentity: string, type: EjectionType): void
}

export type ClusterSharing = ControlSharing | WorkerSharing
