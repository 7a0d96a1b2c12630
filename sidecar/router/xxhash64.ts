/**
 * XXH64 with seed 0 over strings of bytes, in plain JavaScript: hash policies need it at once, where the WebAssembly
 * build has to be compiled first, and for the short keys of requests a call into it costs as much.
 *
 * 64-bit numbers are pairs of 32-bit halves, high and low. The running value lives in module variables, because
 * returning a pair would allocate one; every function here runs to its end before anybody else can come in between.
 *
 * Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. Tested against xxhash-wasm.
 */
const P1H = 0x9e3779b1
const P1L = 0x85ebca87
const P2H = 0xc2b2ae3d
const P2L = 0x27d4eb4f
const P3H = 0x165667b1
const P3L = 0x9e3779f9
const P4H = 0x85ebca77
const P4L = 0xc2b2ae63
const P5H = 0x27d4eb2f
const P5L = 0x165667c5

/** The running value. */
let high = 0
let low = 0

function multiply(bHigh: number, bLow: number): void {
  const a0 = low & 0xffff
  const a1 = low >>> 16
  const b0 = bLow & 0xffff
  const b1 = bLow >>> 16
  const p00 = a0 * b0
  const p01 = a0 * b1
  const p10 = a1 * b0
  const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff)
  const carry = (middle >>> 16) + (p01 >>> 16) + (p10 >>> 16)
  const top = (a1 * b1 + carry) | 0
  high = (top + Math.imul(high, bLow) + Math.imul(low, bHigh)) | 0
  low = (middle << 16) | (p00 & 0xffff) | 0
}

function plus(bHigh: number, bLow: number): void {
  const sum = (low >>> 0) + (bLow >>> 0)
  high = (high + bHigh + (sum > 0xffffffff ? 1 : 0)) | 0
  low = sum | 0
}

function rotate(bits: number): void {
  const h = high
  const l = low
  if (bits < 32) {
    high = (h << bits) | (l >>> (32 - bits))
    low = (l << bits) | (h >>> (32 - bits))
  } else {
    const rest = bits - 32
    high = rest === 0 ? l : (l << rest) | (h >>> (32 - rest))
    low = rest === 0 ? h : (h << rest) | (l >>> (32 - rest))
  }
}

function xor(bHigh: number, bLow: number): void {
  high ^= bHigh
  low ^= bLow
}

/** `round(acc, lane)`: the result is the running value. */
function round(accHigh: number, accLow: number, laneHigh: number, laneLow: number): void {
  high = laneHigh
  low = laneLow
  multiply(P2H, P2L)
  plus(accHigh, accLow)
  rotate(31)
  multiply(P1H, P1L)
}

function word(bytes: string, at: number): number {
  return (
    bytes.charCodeAt(at) |
    (bytes.charCodeAt(at + 1) << 8) |
    (bytes.charCodeAt(at + 2) << 16) |
    (bytes.charCodeAt(at + 3) << 24)
  )
}

/** Accumulators of the four stripes, as pairs of halves. */
const lanes = new Int32Array(8)

/** Hash of a string whose characters are bytes, as an unsigned 64-bit number. */
export function xxHash64(bytes: string): bigint {
  const length = bytes.length
  let at = 0
  if (length >= 32) {
    at = stripes(bytes)
    converge()
  } else {
    high = P5H
    low = P5L
  }
  plus(0, length)
  for (; at + 8 <= length; at += 8) {
    const h = high
    const l = low
    round(0, 0, word(bytes, at + 4), word(bytes, at))
    xor(h, l)
    rotate(27)
    multiply(P1H, P1L)
    plus(P4H, P4L)
  }
  if (at + 4 <= length) {
    const h = high
    const l = low
    high = 0
    low = word(bytes, at)
    multiply(P1H, P1L)
    xor(h, l)
    rotate(23)
    multiply(P2H, P2L)
    plus(P3H, P3L)
    at += 4
  }
  for (; at < length; at++) {
    const h = high
    const l = low
    high = 0
    low = bytes.charCodeAt(at)
    multiply(P5H, P5L)
    xor(h, l)
    rotate(11)
    multiply(P1H, P1L)
  }
  avalanche()
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

function stripes(bytes: string): number {
  high = P1H
  low = P1L
  plus(P2H, P2L)
  lanes[0] = high
  lanes[1] = low
  lanes[2] = P2H
  lanes[3] = P2L
  lanes[4] = 0
  lanes[5] = 0
  // 0 - PRIME1
  lanes[6] = ~P1H
  lanes[7] = -P1L
  let at = 0
  for (; at + 32 <= bytes.length; at += 32) {
    for (let lane = 0; lane < 4; lane++) {
      round(lanes[lane * 2]!, lanes[lane * 2 + 1]!, word(bytes, at + lane * 8 + 4), word(bytes, at + lane * 8))
      lanes[lane * 2] = high
      lanes[lane * 2 + 1] = low
    }
  }
  return at
}

const ROTATIONS = [1, 7, 12, 18]

function converge(): void {
  let sumHigh = 0
  let sumLow = 0
  for (let lane = 0; lane < 4; lane++) {
    high = lanes[lane * 2]!
    low = lanes[lane * 2 + 1]!
    rotate(ROTATIONS[lane]!)
    plus(sumHigh, sumLow)
    sumHigh = high
    sumLow = low
  }
  for (let lane = 0; lane < 4; lane++) {
    const h = high
    const l = low
    round(0, 0, lanes[lane * 2]!, lanes[lane * 2 + 1]!)
    xor(h, l)
    multiply(P1H, P1L)
    plus(P4H, P4L)
  }
}

function avalanche(): void {
  // h ^= h >>> 33; *= PRIME2; h ^= h >>> 29; *= PRIME3; h ^= h >>> 32
  xor(0, high >>> 1)
  multiply(P2H, P2L)
  const shifted = (low >>> 29) | (high << 3)
  xor(high >>> 29, shifted)
  multiply(P3H, P3L)
  xor(0, high)
}
