/**
 * One timer wheel for all request timeouts: starting and stopping a timer is two pointer writes, which matters because
 * nearly every request starts three and stops three without one ever firing.
 *
 * Hashed wheel (Varghese & Lauck, scheme 6): slots of one tick each; a timer sits in the slot of its deadline and is
 * looked at once per turn of the wheel until its tick has come. One timer of Node's drives the wheel: it is armed for the
 * next slot that is not empty, and not at all while the wheel holds nothing, so that an idle proxy sleeps.
 *
 * A timer fires at or after its deadline, at most one tick (5 ms) late plus whatever the event loop is behind.
 */
import type { Clock } from './clock.ts'
import { ownBug } from './own-bug.ts'

export const TICK_MS = 5
const SLOTS = 1024
const MASK = SLOTS - 1
/** How far ahead the driver looks for a slot that is not empty: 1 s. */
const LOOK_AHEAD = 200

/** Something that can be started on a wheel. Lives as long as its owner and is started again and again. */
export class Timer {
  /** Wheel tick at which the timer fires; meaningful only while it is linked. */
  tick = 0
  next: Timer | undefined = undefined
  previous: Timer | undefined = undefined
  readonly fire: () => void
  constructor(fire: () => void) {
    this.fire = fire
  }
  get active(): boolean {
    return this.next !== undefined
  }
}

/** The part of the wheel that users of timers see. */
export interface Timers {
  /** Starts `timer`, or starts it anew with another deadline. A delay of 0 fires with the next tick. */
  start(timer: Timer, delayMs: number): void
  /** Stops `timer`; nothing happens when it is not running. */
  stop(timer: Timer): void
}

export class TimerWheel implements Timers {
  readonly #clock: Clock
  readonly #slots: Timer[]
  /** The last tick whose timers have fired. */
  #tick: number
  #count = 0
  #driver: NodeJS.Timeout | undefined
  /** The tick the driver is armed for. */
  #armedTick = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#tick = Math.floor(clock.now() / TICK_MS)
    this.#slots = Array.from({ length: SLOTS }, () => {
      const head = new Timer(() => {})
      head.next = head.previous = head
      return head
    })
  }

  /** Number of timers running. */
  get size(): number {
    return this.#count
  }

  start(timer: Timer, delayMs: number): void {
    if (timer.next !== undefined) this.#unlink(timer)
    else this.#count++
    // Rounded up, so that a timer never fires early; the tick that is being fired must not take new timers in.
    const tick = Math.ceil((this.#clock.now() + delayMs) / TICK_MS)
    timer.tick = tick > this.#tick ? tick : this.#tick + 1
    const head = this.#slots[timer.tick & MASK]!
    const last = head.previous!
    last.next = timer
    timer.previous = last
    timer.next = head
    head.previous = timer
    if (timer.tick < this.#armedTick) this.#arm(timer.tick)
  }

  stop(timer: Timer): void {
    if (timer.next === undefined) return
    this.#unlink(timer)
    timer.next = timer.previous = undefined
    this.#count--
    // The driver is left to run out by itself: stopping and starting it with every request would cost more.
  }

  /** Fires everything that is due. Called by the driver; tests with a manual clock call it themselves. */
  advance(): void {
    const target = Math.floor(this.#clock.now() / TICK_MS)
    // After a long sleep one turn of the wheel visits every slot; more turns would find nothing new.
    const first = Math.max(this.#tick + 1, target - SLOTS + 1)
    for (let tick = first; tick <= target; tick++) {
      this.#tick = tick
      const head = this.#slots[tick & MASK]!
      let timer = head.next!
      while (timer !== head) {
        const next = timer.next!
        if (timer.tick <= target) {
          this.stop(timer)
          try {
            timer.fire()
          } catch (error) {
            ownBug(error, 'a timer')
          }
          // Firing may have stopped `next` or linked it elsewhere: begin again, what was fired is gone.
          timer = next.next === undefined || (next !== head && (next.tick & MASK) !== (tick & MASK)) ? head.next! : next
        } else timer = next
      }
    }
    this.#tick = Math.max(this.#tick, target)
  }

  /** Stops the driver for good; timers still running never fire. */
  close(): void {
    clearTimeout(this.#driver)
    this.#driver = undefined
    this.#armedTick = 0
    this.#count = 0
  }

  #unlink(timer: Timer): void {
    timer.previous!.next = timer.next
    timer.next!.previous = timer.previous
  }

  #arm(tick: number): void {
    clearTimeout(this.#driver)
    this.#armedTick = tick
    this.#driver = setTimeout(
      () => {
        this.#driver = undefined
        this.#armedTick = Number.POSITIVE_INFINITY
        try {
          this.advance()
        } finally {
          this.#armForNext()
        }
      },
      Math.max(1, tick * TICK_MS - this.#clock.now()),
    )
    // Requests in flight keep the process alive through their sockets; a timer alone must not.
    this.#driver.unref()
  }

  /** What fired may have armed the driver for its own next deadline, which need not be the nearest. */
  #armForNext(): void {
    if (this.#count === 0) return
    const next = this.#nextBusyTick()
    if (next < this.#armedTick) this.#arm(next)
  }

  #nextBusyTick(): number {
    for (let ahead = 1; ahead < LOOK_AHEAD; ahead++) {
      const head = this.#slots[(this.#tick + ahead) & MASK]!
      if (head.next !== head) return this.#tick + ahead
    }
    return this.#tick + LOOK_AHEAD
  }
}
