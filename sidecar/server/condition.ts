/** The state of the server as its listeners see it: leaving, failing its health check, draining. */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Listener } from '../config/schema/generated/types.ts'
import type { ServerCondition } from '../http/connection-manager.ts'

/** Which listeners are meant: those with `traffic_direction: INBOUND`, or all. */
export type ListenerChoice = 'inbound' | 'all'

/** How the connections of listeners that drain are brought to their end (Envoy: `--drain-strategy`). */
export interface DrainPolicy {
  /** Response by response, ever more of them; otherwise the next response of each connection is its last. */
  readonly gradual: boolean
  readonly drainTimeMs: number
  /** The same for all threads of the process. */
  readonly clock: Clock
  readonly random: Random
}

export interface ConditionState {
  readonly leaving: boolean
  readonly inboundDrainedMs: number | undefined
  readonly allDrainedMs: number | undefined
  readonly healthCheckFailed: boolean
}

export class Condition {
  /** Shutting down. */
  leaving = false
  /** Since when the operator drains listeners (`/drain_listeners`): health checks go on being answered as before. */
  inboundDrainedMs: number | undefined = undefined
  allDrainedMs: number | undefined = undefined
  /** The operator said so (`/healthcheck/fail`). */
  healthCheckFailed = false
  readonly #policy: DrainPolicy

  constructor(policy: DrainPolicy) {
    this.#policy = policy
  }

  get gradual(): boolean {
    return this.#policy.gradual
  }

  /** On the clock that all threads share. */
  now(): number {
    return this.#policy.clock.now()
  }

  /** Listeners that drain already are not drained anew. */
  drain(which: ListenerChoice): void {
    const now = this.now()
    this.inboundDrainedMs ??= now
    if (which === 'all') this.allDrainedMs ??= now
  }

  /** What the connection managers of a listener see of it. */
  of(listener: Pick<Listener, 'trafficDirection' | 'drainType'>): ListenerCondition {
    return new ListenerCondition(this, listener)
  }

  /** For the health_check filter: failed by the operator, or on the way out. */
  get failed(): boolean {
    return this.healthCheckFailed || this.leaving
  }

  /** As other threads are told it. */
  get state(): ConditionState {
    const { leaving, inboundDrainedMs, allDrainedMs, healthCheckFailed } = this
    return { leaving, inboundDrainedMs, allDrainedMs, healthCheckFailed }
  }

  /**
   * Whether a connection of a listener that has drained since then is to end with this response: the likelier, the longer
   * that is ago, so that clients do not all come back at once. By whole seconds, and certain after half of the drain time,
   * which leaves the other half to connections that are seldom used: measured on Envoy 1.40 with 2, 4, 5, 6 and 10 s,
   * whose source, and manual, would have it certain only at the end.
   */
  endsConnection(sinceMs: number): boolean {
    const { gradual, drainTimeMs, clock, random } = this.#policy
    const elapsedMs = clock.now() - sinceMs
    if (!gradual || elapsedMs >= drainTimeMs) return true
    const seconds = Math.ceil(drainTimeMs / 2000)
    return Math.floor(elapsedMs / 1000) > Math.floor(random.next() * seconds)
  }
}

/** The same for the connection managers of one listener. */
export class ListenerCondition implements ServerCondition {
  readonly overloaded = false
  readonly #condition: Condition
  readonly #isInbound: boolean
  /** With `drain_type: MODIFY_ONLY` a health check that fails closes no connection. */
  readonly #heedsHealth: boolean
  /** Since when it is no longer in the configuration. */
  #removedMs: number | undefined = undefined

  constructor(condition: Condition, { trafficDirection, drainType }: Pick<Listener, 'trafficDirection' | 'drainType'>) {
    this.#condition = condition
    this.#isInbound = trafficDirection === 'INBOUND'
    this.#heedsHealth = drainType !== 'MODIFY_ONLY'
  }

  /** The listener goes. False where its connections are to be told so at once, rather than response by response. */
  drainGradually(): boolean {
    this.#removedMs ??= this.#condition.now()
    return this.#condition.gradual
  }

  /** Failing the health check closes connections too, as in Envoy: all of them, and at once. */
  get draining(): boolean {
    const condition = this.#condition
    if (condition.leaving || (condition.healthCheckFailed && this.#heedsHealth)) return true
    if (this.#removedMs !== undefined && condition.endsConnection(this.#removedMs)) return true
    const since = this.#isInbound ? condition.inboundDrainedMs : condition.allDrainedMs
    return since !== undefined && condition.endsConnection(since)
  }
}
