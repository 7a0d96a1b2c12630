/**
 * Does the application pass on, or handle, a failure of this callee? Asked when an inbound request failed that holds a
 * failed call: was that the reason, or had the application swallowed it and failed by itself?
 *
 * Two hidden states, `passes` and `handles`, followed from observation to observation (a hidden Markov model): holding
 * such a failure, a request either succeeded or failed. Under `passes` it nearly always fails; under `handles` it fails
 * only as often as the application fails anyway. That base rate is what decides: where the application never fails by
 * itself, the first failure after a thousand handled ones is still blamed on the call (somebody changed the application),
 * and where every fifth request fails by itself it is not. Without observations the answer is "passed on", as specified.
 */

const PASSES_AND_SUCCEEDS = 0.02
/**
 * An application that passes a failure on rarely does anything else first. Counts only where it was seen to handle such
 * failures: one that always waits a while before it answers is not to be taken for another that failed by itself.
 */
const PASSES_LATE = 0.15
/** The application changes its ways (another code path, a deployment) between two observations. */
const SWITCH = 0.004
const PRIOR_HANDLES = 0.05
/** Smallest belief in its own failing: an application that was never seen to fail can begin to. */
const LEAST_BASE_RATE = 0.001

export class Handling {
  #handles = PRIOR_HANDLES
  /** The last observation was a failure while `handles` was likely: if the next is handled, that one was its own. */
  #isolated = false

  /**
   * Probability that a failure seen now would be the application's own, given how often it fails without any reason.
   * `prompt`: it came right after the failed call.
   */
  ownFailure(baseRate: number, prompt: boolean): number {
    return posterior(this.#predicted(), likelihoods(true, baseRate, prompt || !this.handlesUsually))
  }

  /** The application has handled such failures lately, so that even one blamed on the call is not sure to be. */
  get handlesUsually(): boolean {
    return this.#handles > 0.5
  }

  /** `baseRate` learns of isolated failures between handled ones: nothing but the application explains these. */
  observe(failed: boolean, baseRate: BaseRate, prompt: boolean): void {
    this.#handles = posterior(this.#predicted(), likelihoods(failed, baseRate.value, prompt || !this.handlesUsually))
    if (!failed && this.#isolated) baseRate.addOwnFailure()
    if (!failed) baseRate.addHandled()
    this.#isolated = failed
  }

  #predicted(): number {
    return this.#handles * (1 - SWITCH) + (1 - this.#handles) * SWITCH
  }
}

function likelihoods(failed: boolean, baseRate: number, prompt: boolean): readonly [handles: number, passes: number] {
  const base = Math.min(0.95, Math.max(LEAST_BASE_RATE, baseRate))
  return failed ? [base, (1 - PASSES_AND_SUCCEEDS) * (prompt ? 1 : PASSES_LATE)] : [1 - base, PASSES_AND_SUCCEEDS]
}

function posterior(prior: number, [handles, passes]: readonly [number, number]): number {
  const handled = prior * handles
  return handled / (handled + (1 - prior) * passes)
}

/** How often the application fails by itself: of requests that hold no failed call, and of handled ones. */
export class BaseRate {
  #failures = 0
  #requests = 0

  /** Optimistic at the start: one failure in two hundred. */
  get value(): number {
    return (this.#failures + 0.1) / (this.#requests + 20)
  }

  /** A request without any failed call ended. On the path of every request: an addition and a comparison. */
  add(failed: boolean): void {
    this.#requests++
    if (failed) this.#failures++
    if (this.#requests >= 512) {
      this.#requests /= 2
      this.#failures /= 2
    }
  }

  addOwnFailure(): void {
    this.#failures++
    this.#requests++
  }

  addHandled(): void {
    this.#requests++
  }
}
