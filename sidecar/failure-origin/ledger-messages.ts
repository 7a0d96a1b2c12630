/**
 * What the ledgers of several worker threads would tell each other, where a request came in on one and the application's
 * call goes out through another (an application that keeps one connection to each worker). Plain data only.
 *
 * Not in use with one data plane per process. The way it is meant: every worker announces its inbound requests in batches
 * per turn of its event loop; the others hold {@link RemoteInbound} entries that match like their own, with `likely` at
 * best for calls without ids, since `unique` cannot be known across threads in time. What a call to a remote entry came
 * to goes home as {@link RemoteFailure}, and there joins the entry's failed calls.
 */
import type { FailureRecord } from './record.ts'

export interface RemoteInbound {
  readonly type: 'inbound'
  readonly worker: number
  readonly seq: number
  readonly startWallMs: number
  readonly traceId: string
  readonly spanId: string
  readonly requestId: string
  readonly sampled: boolean
  readonly deadlineWallMs: number
}

export interface RemoteInboundEnd {
  readonly type: 'inbound-end'
  readonly worker: number
  readonly seq: number
}

export interface RemoteFailure {
  readonly type: 'call-failed'
  /** Home of the inbound request. */
  readonly worker: number
  readonly seq: number
  readonly cluster: string
  readonly startWallMs: number
  readonly endWallMs: number
  readonly record: FailureRecord
}

/** The home's answer: who took the failure, so that its own thread can count it as masked or not. */
export interface RemoteClaim {
  readonly type: 'claimed' | 'masked'
  readonly id: string
}

export type LedgerMessage = RemoteInbound | RemoteInboundEnd | RemoteFailure | RemoteClaim
