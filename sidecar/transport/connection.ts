/**
 * One byte stream, accepted or connected, with flow control: what every codec and L4 filter reads from and writes to.
 * Transport sockets (plaintext, TLS, PROXY protocol) implement it.
 *
 * Bytes are lent, not given: `onData` gets a view of a buffer that will be read into again, so whoever keeps bytes copies
 * them. Writing a lent view on is safe: a connection whose kernel buffer is full counts itself in {@link heldWrites}, and
 * a reader that sees that number rise during `onData` leaves its buffer to the writer and takes a new one.
 */
import type { Address } from '../base/address.ts'
import type { TlsInfo } from '../observability/stream-info.ts'

/** How a connection ended. */
export interface CloseReason {
  readonly kind: 'remote' | 'local' | 'reset' | 'refused' | 'connect_timeout' | 'unreachable' | 'error' | 'tls'
  /** The transport's own text as Envoy words it (`delayed_connect_error:_Connection_refused`), '' when there is none. */
  readonly details: string
  /** For `tls`: what was wrong, as failure records name it (`plaintext_peer`, `expired`, …). */
  readonly tlsCause?: TlsCause | undefined
}

/** Sub-causes of the failure cause `tls` (failure-origin.md). */
export type TlsCause =
  | 'plaintext_peer'
  | 'expired'
  | 'san_mismatch'
  | 'pin_mismatch'
  | 'client_cert_required'
  | 'unknown_ca'
  | 'revoked'
  | 'alpn'
  | 'version'
  | 'cipher'
  | 'closed_in_handshake'
  | 'handshake'

export interface ConnectionHandler {
  /** The connection stands (TLS handshake done). Not called for accepted plaintext connections: they stand already. */
  onConnected(): void
  /** Bytes arrived; the view is lent until this returns. Never called while reading is paused. */
  onData(chunk: Buffer): void
  /** The peer will send nothing more (FIN). The connection stays writable until it is closed. */
  onEnd(): void
  /** Buffered output rose above the high watermark (`true`) or fell back below half of it (`false`). */
  onBackpressure(above: boolean): void
  /** The end; nothing follows. Called exactly once, also after {@link Connection.close}. */
  onClose(reason: CloseReason): void
}

export interface Connection {
  readonly id: number
  readonly remote: Address
  readonly local: Address
  readonly tls: TlsInfo | undefined
  /** Bytes written but not yet taken by the kernel. */
  readonly bufferedBytes: number
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly closed: boolean
  /** Who gets the events. May be replaced, for instance when an inspected connection gets its protocol. */
  handler: ConnectionHandler
  /** Queues bytes; a string is written as latin1. What one turn writes leaves in one system call where possible. */
  write(data: Buffer | string): void
  /** Stops reading; counted, two pauses need two resumes. */
  pauseReading(): void
  resumeReading(): void
  /** Sends FIN after what is queued, then closes when the peer has closed or `delayedCloseMs` have passed. */
  closeAfterFlush(delayedCloseMs: number): void
  /** Closes at once; what is queued is lost. `reset` sends RST, so that the peer cannot take the end for a clean one. */
  close(how?: 'fin' | 'reset'): void
}

/**
 * Number of writes so far that the kernel did not take at once. A reader compares it around `onData` to learn whether
 * somebody may still refer to the buffer it lent.
 */
export const heldWrites = { count: 0 }
