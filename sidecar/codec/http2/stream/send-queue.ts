/**
 * Streams that hold back DATA for the connection's window or the transport, in the order in which they take turns: each
 * sends one frame and goes to the end, so that a large body cannot keep small ones waiting.
 */
import type { Stream } from './stream.ts'

export class SendQueue {
  #head: Stream | undefined = undefined
  #tail: Stream | undefined = undefined
  #running = false

  /** Others wait, and it is not their turn being given. */
  get blocks(): boolean {
    return this.#head !== undefined && !this.#running
  }

  add(stream: Stream): void {
    if (stream.waiting) return
    stream.waiting = true
    stream.nextWaiting = undefined
    if (this.#tail === undefined) this.#head = stream
    else this.#tail.nextWaiting = stream
    this.#tail = stream
  }

  /** Gives turns while `open` says that something can be sent. A stream that cannot send for its own window leaves. */
  run(open: () => boolean): void {
    if (this.#running) return
    this.#running = true
    while (this.#head !== undefined && open()) {
      const stream = this.#head
      this.#head = stream.nextWaiting
      if (this.#head === undefined) this.#tail = undefined
      stream.nextWaiting = undefined
      stream.waiting = false
      if (stream.closed || stream.pendingBytes === 0 || stream.sendWindow <= 0) continue
      stream.sendPending()
      if (!stream.closed && stream.pendingBytes > 0 && stream.sendWindow > 0) this.add(stream)
    }
    this.#running = false
  }
}
