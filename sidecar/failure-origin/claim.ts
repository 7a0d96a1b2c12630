/**
 * Why did this inbound request fail? Takes the failed egress calls of the ledger and decides which of them, if any, was
 * the reason; and for those that were no reason, when that is certain, so that each failure ends somewhere:
 *
 *     call failed ─┬─ its request is known ──► held by the entry ─┬─ entry fails, call is the reason ─► claimed
 *                  │                                               └─ entry ends otherwise ───────────► masked
 *                  ├─ several may have sent it ► unclaimed ─┬─ one of them fails ────────────────────► claimed (likely)
 *                  │                                         └─ all of them have ended, or too old ───► masked
 *                  └─ nothing was in flight ─────────────────────────────────────────────────────────► background
 *
 * The rule is the specification's: the failed call that ended last before the failure, not followed by a success of the
 * same callee. On top of it stands the judgement that an application's own error is not to be blamed on a failure which
 * it handles (`handling.ts`, `attribution.ts`).
 */

import { Attribution, type Reaction } from './attribution.ts'
import type { CalleeState } from './call-target.ts'
import { hadNoTimeLeft, tookTime } from './cause.ts'
import { type CallOrder, callOrder } from './claim-order.ts'
import { EventRate } from './event-rate.ts'
import { BaseRate, type Handling } from './handling.ts'
import { LastSucceeded } from './last-succeeded.ts'
import type { EgressCall, InboundEntry, Ledger } from './ledger.ts'
import { type Confidence, lowerConfidence } from './record.ts'
import { TakenByTimers } from './taken-by-timers.ts'
import { UsualLag } from './usual-lag.ts'
import { mostWait, type Wait, Waits } from './waits.ts'

export interface Claim {
  /** Undefined: the application failed by itself. */
  readonly call: EgressCall | undefined
  readonly confidence: Confidence
  readonly likelihood: number
}

/** Called once for each failed call that nobody will see. */
export type Absorbed = (call: EgressCall, role: 'masked' | 'background', confidence: Confidence) => void

const OWN: Claim = { call: undefined, confidence: 'exact', likelihood: 1 }
/** Unclaimed failures looked at for one failing request. */
const MAX_LOOKED_AT = 256
/** Open calls looked at for one request that timed out. */
const MAX_WAITING = 1024
/** Above this the application's own failure is the better explanation, or at least a serious one. */
const OWN_IS_LIKELIER = 0.5
const OWN_IS_POSSIBLE = 0.2
/** Calls made as often while nothing is in flight are no request's, whatever fails at the same moments. */
const SURELY_BACKGROUND = 0.8
/** A call without ids to a callee that is otherwise sent ids is hardly a request's. */
const COPIES_ELSEWHERE = 0.02
/** Who has its failures passed on less often is not counted among the reasons to come. */
const PASSED_ON_SHARE = 0.2
/** Of calls that fit about as well by the time that has passed, the one that failed first is taken. */
const FITS_AS_WELL = 2
/** A call that a timed-out request waited for has been open for a good part of it; one just sent is chance. */
const WAITING_SHARE = 0.25
/** A call sent after so much of the time of a request was hardly what it waited for, unless calls are late as a rule. */
const LATE_SHARE = 0.5
/** Of the time of a request: a call that took so much of it is what it was about. */
const SPENT_SHARE = 0.5
/** What an application does about a failed call without doing anything else first takes no longer. */
const PROMPT_MS = 2
/** Calls that fail in one turn of the event loop, or together by one tick of a timer. */
const SAME_MOMENT_MS = 0.5
/** Calls with ids after which an application counts as one that copies them. */
const COPIES_IDS_AFTER = 8

export class Claims {
  readonly #ledger: Ledger
  readonly #absorbed: Absorbed
  readonly #maxUnclaimed: number
  readonly #maxAgeMs: number
  /** By end; claimed ones are dropped when they come to the front. */
  #unclaimed: EgressCall[] = []
  #front = 0
  readonly #baseRate = new BaseRate()
  /** Failures of requests that no call explains which is known to be theirs: those that were answered, and those cut off. */
  readonly #unexplained = { answered: new EventRate(), cut: new EventRate() }
  readonly #attribution = new Attribution()
  /** Highest `startSeq` of a call that was claimed by judgement. */
  #claimedSeq = 0
  /** The same of calls that requests have waited for. */
  #waitedSeq = 0
  readonly #taken = new TakenByTimers()
  #matchedByIds = 0
  readonly #waits: Waits
  readonly #succeeded = new LastSucceeded()
  readonly #lag = new UsualLag()
  overflowed = 0
  /** Tells other worker threads, which {@link countUnexplained} as well. */
  onUnexplained: ((own: boolean, nowMs: number, cut: boolean) => void) | undefined = undefined

  constructor(ledger: Ledger, maxUnclaimed: number, maxAgeMs: number, absorbed: Absorbed) {
    this.#ledger = ledger
    this.#waits = new Waits(ledger)
    this.#maxUnclaimed = maxUnclaimed
    this.#maxAgeMs = maxAgeMs
    this.#absorbed = absorbed
  }

  get unclaimed(): number {
    return this.#unclaimed.length - this.#front
  }

  /** The call was sent; learns whether the application copies ids. */
  callSent(call: EgressCall): void {
    if (call.confidence === 'exact' || call.confidence === 'trace') {
      if (this.#matchedByIds < COPIES_IDS_AFTER) this.#matchedByIds++
      call.target?.countIds(true)
    } else call.target?.countIds(call.ambiguousKey !== '')
    if (call.confidence === 'exact' || call.confidence === 'trace' || call.ambiguousKey !== '') return
    const { startMs } = call
    const ledger = this.#ledger
    call.target?.countLoose(startMs, call.confidence === 'none', ledger.idleMs(startMs), ledger.busyMs(startMs))
  }

  /** The call failed; `call.record` says how and `call.endMs` when. Decides where the failure waits for a claim. */
  callFailed(call: EgressCall): void {
    const entry = call.entry
    if (entry !== undefined && this.#ledger.isMatched(call)) {
      if (!entry.inFlight) {
        if (!call.isAbandoned && !call.claimed) this.#absorb(call, 'masked', call.confidence)
        return
      }
      if (call.isAbandoned) entry.abandoned = call
      else {
        entry.failedCalls ??= []
        entry.failedCalls.push(call)
      }
      return
    }
    call.confidence = 'likely'
    if (call.claimed) {
      if (!call.isAbandoned) this.#absorb(call, 'masked', 'likely')
      return
    }
    reactionTo(call)?.ended()
    if (call.candidates === 0) {
      if (!call.isAbandoned) this.#absorb(call, 'background', 'none')
      return
    }
    // An application that gives calls up would have given up this one before: it is of a request that still waits.
    this.#waits.leave(call)
    if (this.unclaimed >= this.#maxUnclaimed) {
      this.overflowed++
      this.#dropFront()
    }
    this.#unclaimed.push(call)
    // Whoever could have sent it may have ended before it did.
    this.#expire()
  }

  /** The call succeeded: failures of the same callee before it were put right. Nothing to do on most requests. */
  callSucceeded(call: EgressCall, nowMs: number): void {
    // A request had given it up, or one whose call has come to nothing.
    if (call.waitedBy !== undefined && !call.claimed) this.#waits.settle(call, () => this.#order(nowMs, call))
    const matched = this.#ledger.isMatched(call)
    if (!matched && call.candidates > 0) this.#succeeded.add(call, nowMs)
    const failed = call.entry?.failedCalls
    if (failed === undefined || !matched) return
    // Parallel calls put nothing right: only one that was sent after the failure was known, which is not in the same turn.
    for (const before of failed)
      if (before.target === call.target && before.endMs < call.startMs) before.repaired = true
  }

  /** The application's answer is a failure, or was `cut` off: what was the reason? */
  claim(entry: InboundEntry, path: string, nowMs: number, cut: boolean): Claim {
    const held = this.#claimHeld(entry, path, nowMs)
    if (held !== undefined) return held
    const claim = this.#claimUnclaimed(entry, nowMs, cut)
    if (claim.call === undefined) {
      const spent = this.spentOn(entry, nowMs)
      if (spent?.call !== undefined) {
        this.take(spent.call)
        return spent
      }
    }
    if (claim.call === undefined && entry.abandoned !== undefined && !entry.abandoned.claimed) {
      const call = entry.abandoned
      call.claimed = true
      return { call, confidence: lowerConfidence(call.confidence, 'link'), likelihood: 1 }
    }
    return claim
  }

  /**
   * A failed call that was answered with this very status, for an application that repeats it. Undefined when there is
   * none: then the status is the application's own word.
   */
  claimEcho(entry: InboundEntry, status: number): Claim | undefined {
    const repeats = (call: EgressCall) => !call.claimed && !call.repaired && call.status === status
    let call = entry.failedCalls?.findLast(repeats)
    if (call !== undefined) {
      call.claimed = true
      return { call, confidence: call.confidence, likelihood: 1 }
    }
    const least = Math.max(this.#front, this.#unclaimed.length - MAX_LOOKED_AT)
    for (let i = this.#unclaimed.length - 1; i >= least; i--) {
      call = this.#unclaimed[i]!
      if (!repeats(call) || call.startSeq < entry.seq || !this.#couldBeOf(call, entry)) continue
      this.take(call)
      return { call, confidence: 'likely', likelihood: 1 / Math.max(1, call.candidates) }
    }
    return undefined
  }

  /** Whom a request that timed out waits for; undefined for nobody. A call older than the request never counts. */
  waitingFor(entry: InboundEntry, nowMs: number): Claim {
    const leastAge = (nowMs - entry.startMs) * WAITING_SHARE
    for (let call = entry.openHead; call !== undefined; call = call.openNext) {
      if (call.startMs < entry.startMs || call.record !== undefined || !this.#ledger.isMatched(call)) continue
      // That nobody else can have sent it says little of a job's call, which is open in this moment by chance.
      if (nowMs - call.startMs < leastAge && this.#isHardlyOf(entry, call, nowMs)) continue
      return { call, confidence: lowerConfidence(call.confidence, 'link'), likelihood: 1 }
    }
    if (entry.copiesIds) return OWN
    // What is usual was perhaps learned while there was less to do; but where calls are far fewer than requests, not all wait.
    const lateMs = mostWait(this.#ledger, nowMs - leastAge) ? (nowMs - entry.startMs) * LATE_SHARE : 0
    const longestLag = Math.max(this.#lag.longestMs, lateMs)
    let first: EgressCall | undefined
    let candidates = 0
    let steps = 0
    // Another has a call by judgement that may be this one's, or it is one of those that came late.
    let doubtful = this.#waitedSeq >= entry.seq
    for (let call = this.#ledger.looseHead; call !== undefined && steps < MAX_WAITING; call = call.looseNext, steps++) {
      if (call.startSeq < entry.seq || call.waitedBy !== undefined || call.record !== undefined) continue
      if (this.#copiesElsewhere(call) || this.#ledger.isMatched(call)) continue
      // Later calls come later still: none of them is this request's, though on a busy machine nobody can be sure.
      if (nowMs - call.startMs < leastAge) {
        doubtful = true
        break
      }
      if (call.startMs - entry.startMs > longestLag) {
        doubtful = true
        break
      }
      candidates++
      first ??= call
    }
    if (first === undefined) return doubtful ? { call: undefined, confidence: 'likely', likelihood: 0.5 } : OWN
    // First come, first served: requests that wait alike began to wait in the order in which they came.
    return { call: first, confidence: 'likely', likelihood: 1 / candidates }
  }

  /**
   * A call that timed out and took most of the time of this request: an application that is slow by itself has none. The
   * first such call, because whatever was tried after it had little time left, whoever was asked; of those that another
   * request must have sent (`claim-order.ts`) none, if there is a choice, and with `onlyInOrder` in any case. Undefined for
   * none.
   */
  spentOn(entry: InboundEntry, nowMs: number, onlyInOrder = false): Claim | undefined {
    const held = this.spentByItself(entry, nowMs)
    if (held !== undefined) return { call: held, confidence: held.confidence, likelihood: 1 }
    const calls: EgressCall[] = []
    for (let i = Math.max(this.#front, this.#unclaimed.length - MAX_LOOKED_AT); i < this.#unclaimed.length; i++) {
      const call = this.#unclaimed[i]!
      if (call.startSeq < entry.seq || !isSpentOf(entry, call, nowMs)) continue
      if (this.#couldBeOf(call, entry) && !this.#copiesElsewhere(call)) calls.push(call)
    }
    if (calls.length === 0) return undefined
    calls.sort((a, b) => a.startMs - b.startMs)
    const order = this.#order(nowMs)
    const inOrder = calls.find(call => order?.allows(call, entry.seq) !== false)
    const first = inOrder ?? (onlyInOrder ? undefined : calls[0])
    return first && { call: first, confidence: 'likely', likelihood: 1 / Math.max(1, first.candidates) }
  }

  /** The same of those that are surely of this request, and that no later call put right. */
  spentByItself(entry: InboundEntry, nowMs: number): EgressCall | undefined {
    return entry.failedCalls?.find(call => !call.repaired && isSpentOf(entry, call, nowMs))
  }

  /** A failed call is the reason of a request's failure by what it is, whatever the time between them. */
  take(call: EgressCall): void {
    call.claimed = true
    if (this.#ledger.isMatched(call)) return
    reactionTo(call)?.wasReason()
    this.#claimedSeq = Math.max(this.#claimedSeq, call.startSeq)
  }

  /** The timer of a request fires in the moment in which a call has failed: {@link take} it, and remember. */
  takeByTimer(call: EgressCall): void {
    this.take(call)
    if (!this.#ledger.isMatched(call)) this.#taken.add(call)
  }

  /** A timer took the failed call that this request, which fails without any, may have had: true once for each. */
  wasTaken(entry: InboundEntry, nowMs: number): boolean {
    return this.#taken.from(entry, nowMs)
  }

  /**
   * A request has answered (or was given up) as `recordId`, waiting for `call`. Where that is a judgement it is open to
   * correction (`waits.ts`).
   */
  waits(call: EgressCall, entry: InboundEntry, recordId: string, nowMs: number): void {
    if (this.#ledger.isMatched(call)) {
      call.claimed = true
      return
    }
    this.#waitedSeq = Math.max(this.#waitedSeq, call.startSeq)
    this.#waits.add(call, recordId, entry.seq, nowMs)
  }

  /** A request was given up as `recordId`, and no call was found that it waited for: one may come to light. */
  waitsForNone(entry: InboundEntry, recordId: string, nowMs: number): void {
    this.#waits.addWithout(recordId, entry.seq, nowMs)
  }

  /** The application gives the call up. The id under which the request behind it was answered, '' where none was. */
  callGivenUp(call: EgressCall, nowMs: number): string {
    if (this.#ledger.isMatched(call)) return ''
    const wait = this.#waitFor(call, nowMs)
    if (wait === undefined) return ''
    call.claimed = true
    return wait.recordId
  }

  /** An inbound request is over and out of the ledger. `failed`: by its application. */
  inboundEnded(entry: InboundEntry, path: string, failed: boolean, cancelled: boolean): void {
    const calls = entry.failedCalls
    if (calls === undefined) {
      if (!failed && !cancelled) this.#baseRate.add(false)
    } else {
      for (const call of calls) {
        if (!failed && !cancelled && !call.repaired) handlingOf(call, path)?.observe(false, this.#baseRate, false)
        if (!call.claimed) this.#absorb(call, 'masked', call.confidence)
      }
      entry.failedCalls = undefined
    }
    if (this.#unclaimed.length > 0) this.#expire()
  }

  sweep(nowMs: number): void {
    this.#waits.forget(nowMs - this.#maxAgeMs)
    while (this.unclaimed > 0) {
      const call = this.#unclaimed[this.#front]!
      if (!call.claimed && nowMs - call.endMs < this.#maxAgeMs) break
      this.#dropFront()
    }
  }

  #claimHeld(entry: InboundEntry, path: string, nowMs: number): Claim | undefined {
    const calls = entry.failedCalls
    if (calls === undefined) return undefined
    let leastOwn = 1
    let reason: EgressCall | undefined
    let doubtful = false
    for (const call of calls.length > 1 ? calls.toSorted(bestFirst) : calls) {
      if (call.claimed || call.repaired) continue
      // Where the application copies ids, a call without them is hardly of this request.
      if (call.confidence === 'unique' && entry.copiesIds) continue
      const handling = handlingOf(call, path)
      const prompt = nowMs - call.endMs < PROMPT_MS
      let own = handling === undefined ? 0 : handling.ownFailure(this.#baseRate.value, prompt)
      if (call.confidence === 'unique') own = Math.max(own, this.#backgroundShare(call, nowMs))
      leastOwn = Math.min(leastOwn, own)
      if (own <= OWN_IS_LIKELIER && reason === undefined) {
        reason = call
        doubtful = own > OWN_IS_POSSIBLE || handling?.handlesUsually === true
      }
      handling?.observe(true, this.#baseRate, prompt)
    }
    if (reason === undefined) {
      return leastOwn === 1 ? undefined : { call: undefined, confidence: 'likely', likelihood: leastOwn }
    }
    // Of several that ran out of time the first that took most of it: the others had little left, whoever was asked.
    if (reason.record !== undefined && hadNoTimeLeft(reason.record.cause)) {
      reason = this.spentByItself(entry, nowMs) ?? reason
    }
    reason.claimed = true
    this.#lag.add(reason.startMs - entry.startMs)
    if (doubtful) return { call: reason, confidence: 'likely', likelihood: 1 - leastOwn }
    return { call: reason, confidence: reason.confidence, likelihood: 1 }
  }

  #claimUnclaimed(entry: InboundEntry, nowMs: number, cut: boolean): Claim {
    const attribution = this.#attribution
    const candidates: EgressCall[] = []
    const least = Math.max(this.#front, this.#unclaimed.length - MAX_LOOKED_AT)
    for (let i = this.#unclaimed.length - 1; i >= least && !attribution.isFull; i--) {
      const call = this.#unclaimed[i]!
      // Sent before the request came: not its call, however long it took.
      if (call.startSeq < entry.seq || !this.#couldBeOf(call, entry) || call.target === undefined) continue
      this.#offer(call, call.target, nowMs)
      candidates.push(call)
    }
    this.#succeeded.each((reaction, endMs, call) => {
      if (call.startSeq < entry.seq || !this.#couldBeOf(call, entry)) return
      attribution.offerSucceeded(reaction, nowMs - endMs)
    })
    const chances = this.#judge(nowMs, cut)
    // Calls that failed alike are one answer: it is the reason that counts, and then which of them.
    const ofReason = new Map<string, number>()
    let own = 1
    for (let i = 0; i < candidates.length; i++) {
      const { record, isAbandoned } = candidates[i]!
      const reason = `${record?.origin} ${record?.cause} ${isAbandoned}`
      ofReason.set(reason, (ofReason.get(reason) ?? 0) + chances[i]!)
      own -= chances[i]!
    }
    let claimed: EgressCall | undefined
    let best = 0
    let bestReason = own
    for (let i = 0; i < candidates.length; i++) {
      const call = candidates[i]!
      if (call.claimed) continue
      const chance = chances[i]!
      const reason = ofReason.get(`${call.record?.origin} ${call.record?.cause} ${call.isAbandoned}`)!
      if (reason < bestReason) continue
      if (reason === bestReason && claimed !== undefined && !isBetterMatch(call, chance, claimed, best)) continue
      bestReason = reason
      best = chance
      claimed = call
    }
    claimed &&= this.#inOrder(entry, claimed, candidates, chances, nowMs)
    if (claimed === undefined) this.#baseRate.add(true)
    this.onUnexplained?.(claimed === undefined, nowMs, cut)
    if (claimed === undefined) {
      // A failure that this request may have lost to another, which took it by mistake, counts too.
      const contested = candidates.length > 0 || this.#claimedSeq >= entry.seq
      return contested ? { call: undefined, confidence: 'likely', likelihood: candidates.length > 0 ? own : 0.5 } : OWN
    }
    claimed.claimed = true
    if (!claimed.isAbandoned) this.#claimedSeq = Math.max(this.#claimedSeq, claimed.startSeq)
    this.#lag.add(claimed.startMs - entry.startMs)
    const confidence = claimed.isAbandoned ? lowerConfidence('likely', 'link') : 'likely'
    return { call: claimed, confidence, likelihood: 1 / Math.max(1, claimed.candidates) }
  }

  #offer(call: EgressCall, target: CalleeState, nowMs: number): void {
    const reaction = call.isAbandoned ? target.reactionToGivingUp : target.reaction
    const factor = this.#factorOf(call, nowMs)
    this.#attribution.offer(reaction, nowMs - call.endMs, factor, target.reactionToSuccess, call.claimed)
  }

  /** What speaks against a call whatever else is known: background work, or a callee to which ids are copied. */
  #factorOf(call: EgressCall, nowMs: number): number {
    const background = this.#backgroundShare(call, nowMs)
    if (background > SURELY_BACKGROUND) return 0
    return (1 - background) * (this.#copiesElsewhere(call) ? COPIES_ELSEWHERE : 1)
  }

  #isRatherAJobs(call: EgressCall, nowMs: number): boolean {
    return this.#factorOf(call, nowMs) < 0.5
  }

  /** Matched only because no other request was in flight, while more speaks for a job's call. */
  #isHardlyOf(entry: InboundEntry, call: EgressCall, nowMs: number): boolean {
    return call.confidence === 'unique' && (entry.copiesIds || this.#isRatherAJobs(call, nowMs))
  }

  /** `claimed`, or in its place a call to the same callee that nobody else can have sent, if `claimed` can be another's. */
  #inOrder(
    entry: InboundEntry,
    claimed: EgressCall,
    candidates: readonly EgressCall[],
    chances: Float64Array,
    nowMs: number,
  ): EgressCall {
    if (candidates.length < 2) return claimed
    const order = this.#order(nowMs)
    if (order === undefined || order.allows(claimed, entry.seq)) return claimed
    let first = claimed
    let best = 0
    for (let i = 0; i < candidates.length; i++) {
      const call = candidates[i]!
      if (call.claimed || !order.allows(call, entry.seq) || call.target !== claimed.target) continue
      if (first !== claimed && !isBetterMatch(call, chances[i]!, first, best)) continue
      first = call
      best = chances[i]!
    }
    return first
  }

  #order(nowMs: number, call?: EgressCall): CallOrder | undefined {
    const least = Math.max(this.#front, this.#unclaimed.length - MAX_LOOKED_AT)
    const isWaitedFor = (other: EgressCall) => this.#isWaitedFor(other, nowMs)
    return callOrder(this.#ledger, this.#waits.seqs, this.#unclaimed, least, call, isWaitedFor)
  }

  /** Some request in flight waits for this call, or will fail over it. */
  #isWaitedFor(call: EgressCall, nowMs: number): boolean {
    const { target } = call
    if (target === undefined || this.#isRatherAJobs(call, nowMs)) return false
    return call.record === undefined || call.isAbandoned || target.reaction.share >= PASSED_ON_SHARE
  }

  /**
   * A request of another worker has failed that no matched call explains, `own`: nor any other call. What can be learned of
   * it is learned here too.
   */
  countUnexplained(own: boolean, nowMs: number, cut: boolean): void {
    if (own) this.#baseRate.add(true)
    const attribution = this.#attribution
    const least = Math.max(this.#front, this.#unclaimed.length - MAX_LOOKED_AT)
    for (let i = this.#unclaimed.length - 1; i >= least && !attribution.isFull; i--) {
      const call = this.#unclaimed[i]!
      if (call.ambiguousKey !== '' || call.target === undefined || call.endMs > nowMs) continue
      this.#offer(call, call.target, nowMs)
    }
    this.#succeeded.each((reaction, endMs) => attribution.offerSucceeded(reaction, nowMs - endMs))
    this.#judge(nowMs, cut)
  }

  #judge(nowMs: number, cut: boolean): Float64Array {
    const rate = cut ? this.#unexplained.cut : this.#unexplained.answered
    const perMs = rate.perMs(nowMs)
    rate.add(nowMs)
    return this.#attribution.judge(perMs, cut)
  }

  /**
   * Share of the calls to this callee, of those made while requests were in flight, that background work explains: what
   * is called at some rate while nothing is in flight is called at that rate at other times too.
   */
  #backgroundShare(call: EgressCall, nowMs: number): number {
    return call.target?.backgroundShare(this.#ledger.idleMs(nowMs), this.#ledger.busyMs(nowMs)) ?? 0
  }

  /** A call with ids of several requests is of one of these; one without ids is of a request whose calls have none. */
  #couldBeOf(call: Pick<EgressCall, 'ambiguousKey'>, entry: InboundEntry): boolean {
    if (call.ambiguousKey === '') return !entry.copiesIds
    return call.ambiguousKey === entry.traceId || call.ambiguousKey === entry.requestId
  }

  /** The application copies ids, but never to this callee: background work rather than this request's. */
  #copiesElsewhere(call: EgressCall): boolean {
    if (this.#matchedByIds < COPIES_IDS_AFTER || call.ambiguousKey !== '') return false
    const target = call.target
    return target === undefined || target.callsWithIds === 0 || target.callsWithIds > 9 * target.callsWithout
  }

  #expire(): void {
    const oldest = this.#ledger.oldestSeq
    while (this.unclaimed > 0) {
      const call = this.#unclaimed[this.#front]!
      // Whoever could have sent it had a number up to `startSeq`; all of these have ended.
      if (!call.claimed && call.startSeq >= oldest) break
      this.#dropFront()
    }
  }

  #dropFront(): void {
    const call = this.#unclaimed[this.#front]!
    this.#front++
    if (!call.claimed && !call.isAbandoned) this.#absorb(call, 'masked', 'likely')
    if (this.#front < 64 || this.#front < this.#unclaimed.length / 2) return
    this.#unclaimed = this.#unclaimed.slice(this.#front)
    this.#front = 0
  }

  #absorb(call: EgressCall, role: 'masked' | 'background', confidence: Confidence): void {
    call.claimed = true
    if (role === 'masked' && confidence === 'likely') {
      if (this.#waitFor(call, call.endMs) !== undefined) reactionTo(call)?.wasReason()
    }
    this.#absorbed(call, role, confidence)
  }

  /** The request that waited for the call, which has ended: one that was known to wait, else one without a call. */
  #waitFor(call: EgressCall, nowMs: number): Wait | undefined {
    return this.#waits.settle(call, () => this.#order(nowMs, call)) ?? this.#waits.settleWithout(call, nowMs)
  }
}

function reactionTo({ target, isAbandoned }: EgressCall): Reaction | undefined {
  return isAbandoned ? target?.reactionToGivingUp : target?.reaction
}

/** Nobody has taken the call, which ran out of time and took most of the time of this request. */
function isSpentOf(entry: InboundEntry, { claimed, isAbandoned, record, startMs, endMs }: EgressCall, nowMs: number) {
  if (claimed || isAbandoned || record === undefined || !tookTime(record)) return false
  return endMs - startMs >= (nowMs - entry.startMs) * SPENT_SHARE
}

/** Calls matched by ids first, then the one that ended last. */
function bestFirst(a: EgressCall, b: EgressCall): number {
  const unique = Number(a.confidence === 'unique') - Number(b.confidence === 'unique')
  return unique !== 0 ? unique : b.endMs - a.endMs
}

/**
 * Likelier by the distance to the failure. Where that is much the same, the one that failed first: applications answer in
 * the order in which they hear, since what delays them is mostly the queue of their event loop. (Of 400 failures each in
 * a chain under load, taking the last one found 27 % of the pairs, taking the first one all.) Calls that failed in the same
 * moment are taken in the order in which they were sent.
 */
function isBetterMatch(call: EgressCall, odds: number, than: EgressCall, thanOdds: number): boolean {
  if (odds > FITS_AS_WELL * thanOdds) return true
  if (odds * FITS_AS_WELL < thanOdds) return false
  return than.endMs - call.endMs >= SAME_MOMENT_MS || call.startMs <= than.startMs
}

/** A call without ids may be background work, which has nothing to do with what the request is about. */
function handlingOf(call: EgressCall, path: string): Handling | undefined {
  return call.target?.handling(call.confidence === 'unique' ? '' : path)
}
