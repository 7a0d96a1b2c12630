/** What the wire formats of spans have in common. */
import type { Span } from './span.ts'

/** Collects spans and makes one report of them. */
export interface SpanEncoder {
  readonly contentType: string
  add(span: Span): void
  /** The report of everything added since the last call. */
  take(): Buffer | string
}
