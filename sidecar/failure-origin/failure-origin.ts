/** Puts failure location together; `contract.ts` says what it is for and how it is called. */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { CalleeState } from './call-target.ts'
import { Claims } from './claim.ts'
import type {
  Callee,
  EgressRequest,
  FailureOrigin,
  InboundRequest,
  MutableHeaders,
  StreamFailures,
} from './contract.ts'
import { budgetOf } from './deadline.ts'
import { EgressFailures } from './egress-failures.ts'
import { FailureContext } from './failure-context.ts'
import { FailureLog } from './failure-log.ts'
import { InboundFailures } from './inbound-failures.ts'
import { Ledger } from './ledger.ts'
import { firstNumber, type LedgerShare, LedgerSharing } from './ledger-sharing.ts'
import { FailureMetrics, type LabelledStats } from './metrics.ts'
import { safeServiceName } from './names.ts'
import { FAILURE_ID, mentionsFailures, PROXY_STATUS } from './proxy-status.ts'
import type { FailureOriginSettings } from './settings.ts'
import { Trust } from './trust.ts'

export interface FailureOriginParts {
  readonly clock: Clock
  readonly random: Random
  readonly stats: LabelledStats
  /** From SPIFFE id to service name, where the mesh does not name as Istio does. */
  readonly identity?: ((spiffeId: string) => string) | undefined
  /** With worker threads: how this one and the others tell each other of their requests and calls. */
  readonly share?: LedgerShare | undefined
}

export class FailureLocator implements FailureOrigin {
  readonly settings: FailureOriginSettings
  readonly log: FailureLog
  readonly #context: FailureContext
  readonly #targets = new Map<string, CalleeState>()
  #overflowed = 0
  #unclaimedOverflowed = 0

  constructor(settings: FailureOriginSettings, { clock, random, stats, identity, share }: FailureOriginParts) {
    this.settings = settings
    this.log = new FailureLog(settings.maxLogEntries)
    const metrics = new FailureMetrics(stats, settings.service, settings.maxLabelNames)
    const ledger = new Ledger(settings.maxInFlight)
    const claims = new Claims(ledger, settings.maxUnclaimed, settings.maxUnclaimedAgeMs, (call, role, confidence) => {
      if (call.record === undefined || call.isRemote) return
      const waited = call.waitedBy
      // Nobody else claims it, so it was the call of the request that had given up before it failed.
      if (waited !== undefined) this.#context.write('outbound', 'propagated', call.record, [waited.recordId], undefined)
      else this.#context.write('outbound', role, call.record, [], undefined, confidence)
    })
    const trust = new Trust(settings, identity)
    this.#context = new FailureContext(settings, clock, random, trust, ledger, claims, this.log, metrics)
    const { refused } = this.#context
    this.#targets.set(keyOf(refused), refused)
    if (share === undefined) return
    const target = (callee: Callee) => this.target(callee)
    this.#context.sharing = new LedgerSharing(share, ledger, claims, target, clock.now())
  }

  target(callee: Callee): CalleeState {
    const key = keyOf(callee)
    let target = this.#targets.get(key)
    if (target === undefined) {
      const name = safeServiceName(callee.serviceName)
      const { metrics } = this.#context
      target = new CalleeState(callee, name, metrics.blockedOn(name), metrics.callsTo(name))
      this.#targets.set(key, target)
    }
    return target
  }

  stripRequest(headers: MutableHeaders): void {
    if (!mentionsFailures(headers)) return
    headers.delete(PROXY_STATUS)
    headers.delete(FAILURE_ID)
  }

  budgetMs(headers: MutableHeaders): number {
    return budgetOf(headers)
  }

  expectInbound(): void {
    this.#context.ledger.hasInboundSide = true
  }

  inboundStart(request: InboundRequest): StreamFailures {
    return new InboundFailures(this.#context, request)
  }

  egressStart(request: EgressRequest): StreamFailures {
    return new EgressFailures(this.#context, request)
  }

  /** Inbound requests with an entry, and failures waiting for a request to claim them. */
  get held(): { readonly inFlight: number; readonly unclaimed: number } {
    return { inFlight: this.#context.ledger.inFlight, unclaimed: this.#context.claims.unclaimed }
  }

  /** Takes in what other workers have told: asked by one of them. */
  readShared(): void {
    this.#context.sharing?.drain()
  }

  /** A worker has died before `atMs`: its requests and calls are no more. */
  forgetWorker(worker: number, atMs: number): void {
    this.readShared()
    this.#context.sharing?.forget(worker, firstNumber(atMs), atMs)
  }

  sweep(): void {
    const { ledger, claims, clock, metrics, sharing } = this.#context
    sharing?.drain()
    sharing?.tellCallees()
    const lost = sharing?.takeLost() ?? 0
    if (lost > 0) metrics.overflow('worker_ring').add(lost)
    claims.sweep(clock.now())
    ledger.sweep()
    if (ledger.overflowed > this.#overflowed) {
      metrics.overflow('max_in_flight').add(ledger.overflowed - this.#overflowed)
      this.#overflowed = ledger.overflowed
    }
    if (claims.overflowed > this.#unclaimedOverflowed) {
      metrics.overflow('max_unclaimed').add(claims.overflowed - this.#unclaimedOverflowed)
      this.#unclaimedOverflowed = claims.overflowed
    }
  }
}

function keyOf({ clusterName, serviceName, external }: Callee): string {
  return `${clusterName}\n${serviceName}\n${external}`
}
