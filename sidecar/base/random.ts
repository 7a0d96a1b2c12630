import { randomFillSync } from 'node:crypto'

/** Where the proxy gets randomness from, so that tests can set it. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, 2^32). */
  uint32(): number
}

/** Refilled 4 KiB at a time: a call to the kernel per number would cost more than the request it serves. */
const pool = new Uint32Array(1024)
let used = pool.length

export const systemRandom: Random = {
  next: () => Math.random(),
  uint32(): number {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    return pool[used++]!
  },
}

/** The same numbers for the same seed (mulberry32), for tests and for demonstrations that must be repeatable. */
export class SeededRandom implements Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  next(): number {
    return this.uint32() / 4294967296
  }
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function hex32(n: number): string {
  return HEX[n >>> 24]! + HEX[(n >>> 16) & 255]! + HEX[(n >>> 8) & 255]! + HEX[n & 255]!
}

/** 16 lower-case hex digits, never all zero (an all-zero id is invalid in every tracing format). */
export function hex64(random: Random): string {
  const low = random.uint32()
  return hex32(random.uint32()) + hex32(low === 0 ? 1 : low)
}

/** A version 4 UUID (RFC 9562 §5.4), as Envoy makes for `x-request-id`. */
export function uuid4(random: Random): string {
  const a = random.uint32()
  const b = (random.uint32() & 0xffff0fff) | 0x4000
  const c = (random.uint32() & 0x3fffffff) | 0x80000000
  const d = random.uint32()
  const hb = hex32(b >>> 0)
  const hc = hex32(c >>> 0)
  return `${hex32(a)}-${hb.slice(0, 4)}-${hb.slice(4)}-${hc.slice(0, 4)}-${hc.slice(4)}${hex32(d)}`
}
