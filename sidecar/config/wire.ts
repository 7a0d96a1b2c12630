/** Protobuf's wire format: tags, varints, lengths. Throws RangeError on bytes that are cut or malformed. */
import { Kind } from './schema/table.ts'

export const WireType = { Varint: 0, Fixed64: 1, Bytes: 2, StartGroup: 3, EndGroup: 4, Fixed32: 5 } as const

/** Groups in unknown fields may nest; deeper than this is an attack on the stack. */
const maxGroupDepth = 100

export class WireReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  tag(): { readonly number: number; readonly wireType: number } {
    const tag = this.varint()
    // Field numbers have 29 bits; a bigint or a larger number is nonsense.
    if (typeof tag !== 'number' || tag > 0xffffffff || tag < 8) throw new RangeError('a malformed tag')
    return { number: Math.floor(tag / 8), wireType: tag % 8 }
  }

  /** Unsigned; a bigint only from 2^53 on. */
  varint(): number | bigint {
    let result = 0
    let scale = 1
    const start = this.#at
    for (let i = 0; i < 7; i++) {
      const byte = this.#byte()
      result += (byte & 0x7f) * scale
      if (byte < 0x80) return result
      scale *= 128
    }
    this.#at = start
    return this.#longVarint()
  }

  #longVarint(): number | bigint {
    let result = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      result |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        const value = BigInt.asUintN(64, result)
        return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
      }
    }
    throw new RangeError('a varint of more than 10 bytes')
  }

  int32(): number {
    return Number(BigInt.asIntN(32, BigInt(this.varint())))
  }

  int64(): number | bigint {
    return safe(BigInt.asIntN(64, BigInt(this.varint())))
  }

  double(): number {
    return this.#view.getFloat64(this.#advance(8), true)
  }

  float(): number {
    return this.#view.getFloat32(this.#advance(4), true)
  }

  /** Kinds that Envoy's API does not use today. */
  other(kind: Kind): number | bigint {
    switch (kind) {
      case Kind.Fixed32:
        return this.#view.getUint32(this.#advance(4), true)
      case Kind.SFixed32:
        return this.#view.getInt32(this.#advance(4), true)
      case Kind.Fixed64:
        return safe(this.#view.getBigUint64(this.#advance(8), true))
      case Kind.SFixed64:
        return safe(this.#view.getBigInt64(this.#advance(8), true))
      case Kind.SInt32:
      case Kind.SInt64: {
        const value = BigInt(this.varint())
        return safe((value >> 1n) ^ -(value & 1n))
      }
      default:
        throw new RangeError(`a field of kind ${kind}`)
    }
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    const length = this.varint()
    if (typeof length !== 'number') throw new RangeError('a length beyond the end')
    const from = this.#advance(length)
    return this.#bytes.subarray(from, from + length)
  }

  string(): string {
    const bytes = this.bytes()
    try {
      return utf8.decode(bytes)
    } catch {
      throw new RangeError('a string that is not UTF-8')
    }
  }

  skip(wireType: number, number: number, depth = 0): void {
    if (wireType === WireType.Varint) this.varint()
    else if (wireType === WireType.Fixed64) this.#advance(8)
    else if (wireType === WireType.Fixed32) this.#advance(4)
    else if (wireType === WireType.Bytes) this.bytes()
    else if (wireType === WireType.StartGroup && depth < maxGroupDepth) this.#skipGroup(number, depth)
    else throw new RangeError(`a field of wire type ${wireType}`)
  }

  #skipGroup(number: number, depth: number): void {
    for (;;) {
      const tag = this.tag()
      if (tag.wireType === WireType.EndGroup) {
        if (tag.number !== number) throw new RangeError('a group that another one ends')
        return
      }
      this.skip(tag.wireType, tag.number, depth + 1)
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new RangeError('the message ends too early')
    this.#at++
    return byte
  }

  #advance(length: number): number {
    const from = this.#at
    if (length > this.#bytes.length - from) throw new RangeError('the message ends too early')
    this.#at = from + length
    return from
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function safe(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

/** Grows as it is written to; `finish` gives a view of what was written. */
export class WireWriter {
  #buffer = new Uint8Array(256)
  #view = new DataView(this.#buffer.buffer)
  #at = 0

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType)
  }

  /** Negative numbers take ten bytes, as protobuf wants for int32 and int64. */
  varint(value: number | bigint): void {
    this.#reserve(10)
    if (typeof value === 'number' && value >= 0 && value < 2 ** 31) {
      let rest = value
      while (rest > 0x7f) {
        this.#buffer[this.#at++] = (rest & 0x7f) | 0x80
        rest >>>= 7
      }
      this.#buffer[this.#at++] = rest
      return
    }
    let rest = BigInt.asUintN(64, BigInt(value))
    while (rest > 0x7fn) {
      this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.#at++] = Number(rest)
  }

  double(value: number): void {
    this.#reserve(8)
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  float(value: number): void {
    this.#reserve(4)
    this.#view.setFloat32(this.#at, value, true)
    this.#at += 4
  }

  fixed32(value: number): void {
    this.#reserve(4)
    this.#view.setUint32(this.#at, value >>> 0, true)
    this.#at += 4
  }

  fixed64(value: number): void {
    this.#reserve(8)
    this.#view.setBigUint64(this.#at, BigInt.asUintN(64, BigInt(value)), true)
    this.#at += 8
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length)
    this.#reserve(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  string(value: string): void {
    this.bytes(Buffer.from(value, 'utf8'))
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#buffer.length) return
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#at + length))
    grown.set(this.#buffer)
    this.#buffer = grown
    this.#view = new DataView(grown.buffer)
  }
}
