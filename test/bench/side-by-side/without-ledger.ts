/**
 * Takes failure location out of a proxy, to measure what it costs: `NODE_OPTIONS=--import=…/without-ledger.ts`. There is no
 * such setting for users; a proxy that cannot name the hop that failed is not what they came for.
 */
import type { StreamFailures } from '../../../sidecar/failure-origin/contract.ts'
import { FailureLocator } from '../../../sidecar/failure-origin/failure-origin.ts'

class NoFailures implements StreamFailures {
  readonly direction = 'outbound'
  readonly inferred = undefined
  readonly record = undefined
  routed(): void {}
  retarget(): void {}
  limitTimeout(routeTimeoutMs: number): number {
    return routeTimeoutMs
  }
  timeoutFired(): number {
    return 0
  }
  attemptHead(): void {}
  attemptTrailers(): void {}
  attemptFailed(): void {}
  mayRetry(): boolean {
    return true
  }
  attemptRetried(): void {}
  responseHead(): undefined {}
  responseTrailers(): undefined {}
  responseCut(): undefined {}
  end(): undefined {}
}

const none = new NoFailures()
FailureLocator.prototype.stripRequest = () => {}
FailureLocator.prototype.budgetMs = () => 0
FailureLocator.prototype.inboundStart = () => none
FailureLocator.prototype.egressStart = () => none
