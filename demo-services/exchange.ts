/** One request that a service of the demo has taken, whatever protocol it came by. */
import type { Socket } from 'node:net'
import type { RequestTrace } from './tracing.ts'

export interface Exchange {
  readonly path: string
  readonly trace: RequestTrace
  /** Aborted when whoever waited has gone, or has its answer. */
  readonly gone: AbortSignal
  /** What it came on; another request may be under way on it where it speaks HTTP/2. */
  readonly connection: Socket | undefined
  /** `status` in the words of HTTP, with a header of `headBytes`. Does nothing once the caller has gone. */
  answer(status: number, error: string | undefined, headBytes?: number): void
  /** Of the connection, or of the stream where there are several on it. */
  reset(): void
  /** The head and a part of a good answer go out, and then nothing. */
  stall(): void
  /** The head of a good answer goes out, and then the connection goes. */
  cutShort(how: 'length' | 'chunked'): void
}

export type Serve = (exchange: Exchange) => Promise<void>

/** So long a head has to be seen by the other end before its connection goes. */
export const HEAD_FIRST_MS = 20
