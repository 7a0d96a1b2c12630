/**
 * Encodes header blocks (RFC 7541), one encoder per connection. What a connection repeats is put into the dynamic table
 * and costs a byte from then on; what changes with every message (ids, lengths, traces) never gets there, because only a
 * value that comes for the second time in a row is indexed.
 *
 * Strings are written as they are, without Huffman coding: in a mesh CPU is dearer than the few bytes, here and at the
 * next hop, and what is long and repeated is in the table anyway (test/bench/codec-http2.bench.ts).
 */
import { invariant } from '../../../base/invariant.ts'
import { ENTRY_OVERHEAD } from './field.ts'
import { FieldKind, type FieldName, fieldName } from './field-name.ts'
import { STATIC_TABLE } from './static-table.ts'
import '../../latin1.ts'

/** Names of one connection whose values are remembered; begun anew when more come. */
const MAX_SLOTS = 256
/** Values of one name that can be in the table at once. */
const MAX_VALUES = 4
/** A single value that takes so much of the table would push out everything else. */
const MAX_ENTRY_SHARE = 0.5
/** Cookies shorter than this are guessed too easily (see `FieldName.sensitive`). */
const MIN_INDEXED_COOKIE = 20
/** Up to this length a loop is faster than the call that writes a string (measured). */
const MAX_LOOPED = 24

const SPLITS_VALUE = /[\r\n\0\u0100-\uffff]/
const SPLITS_LINE = /[\r\n\0]/
const WHY = 'no CR, LF or NUL can be in a header: a codec refuses them and filters make none'

/** Host is `:authority`; TE may say `trailers` only. */
function leavesOut(kind: FieldKind, value: string): boolean {
  if (kind === FieldKind.Te) return value.toLowerCase() !== 'trailers'
  return kind === FieldKind.ConnectionSpecific || kind === FieldKind.Host
}

/** What is known of one name on this connection. */
class Slot {
  readonly field: FieldName
  /** Values in the dynamic table, and for each the running number of its entry. Evicted ones may stand here still. */
  readonly values: string[] = []
  readonly numbers: number[] = []
  /** What was written last without being indexed. */
  last: string | undefined = undefined

  constructor(field: FieldName) {
    this.field = field
  }
}

const STATUS_INDEX = new Uint8Array(600)
for (const [index, [name, value]] of STATIC_TABLE.entries()) if (name === ':status') STATUS_INDEX[+value] = index + 1
const STATUS_TEXT = Array.from({ length: 600 }, (_, status) => String(status))

const NO_BUFFER = Buffer.alloc(0)

export class HpackEncoder {
  /** Where {@link begin} said to write; replaced by a larger copy when the block does not fit. */
  buffer: Buffer = NO_BUFFER
  /** Offset behind what has been written. */
  at = 0
  readonly #slots = new Map<string, Slot>()
  /** Size of each entry, oldest first; the number of the first is {@link #evicted}. */
  readonly #sizes: number[] = []
  #head = 0
  #evicted = 0
  #inserted = 0
  #size = 0
  #maxSize = 4096
  /** What we use at most, whatever the peer offers. */
  readonly #ownLimit: number
  /** Size updates to be written before the next field: the lowest since the last block, and the present one. */
  #lowest = -1

  constructor(ownLimit: number) {
    this.#ownLimit = ownLimit
    if (ownLimit < 4096) this.setPeerLimit(ownLimit)
  }

  /** Octets that the table holds, counted as RFC 7541 §4.1 does. */
  get tableSize(): number {
    return this.#size
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(limit: number): void {
    const size = Math.min(limit, this.#ownLimit)
    if (size === this.#maxSize) return
    this.#lowest = this.#lowest < 0 ? size : Math.min(this.#lowest, size)
    this.#maxSize = size
    this.#evict(size)
  }

  /** Begins a block at `buffer[at]`. */
  begin(buffer: Buffer, at: number): void {
    this.buffer = buffer
    this.at = at
    if (this.#lowest < 0) return
    // RFC 7541 §4.2: where it sank and rose again, both are said.
    if (this.#lowest < this.#maxSize) this.#integer(0x20, 0x1f, this.#lowest)
    this.#integer(0x20, 0x1f, this.#maxSize)
    this.#lowest = -1
  }

  status(status: number): void {
    const index = STATUS_INDEX[status] ?? 0
    if (index !== 0) {
      this.#room(1)
      this.buffer[this.at++] = 0x80 | index
    } else this.field(':status', STATUS_TEXT[status] ?? String(status))
  }

  /** A header list, without what must not be in HTTP/2 (RFC 9113 §8.2.2) or stands in a pseudo-header. */
  fields(list: readonly string[]): void {
    for (let i = 0; i < list.length; i += 2) this.field(list[i]!, list[i + 1]!)
  }

  /** Throws InvariantError for a value with CR, LF or NUL. */
  field(name: string, value: string): void {
    const slot = this.#slots.get(name) ?? this.#newSlot(name)
    const { field, values } = slot
    if (field.kind >= FieldKind.Host && leavesOut(field.kind, value)) return
    for (let i = 0; i < values.length; i++) {
      if (values[i] !== value) continue
      const number = slot.numbers[i]!
      if (number < this.#evicted) continue
      this.#room(4)
      this.#integer(0x80, 0x7f, STATIC_TABLE.length + this.#inserted - number)
      return
    }
    if (field.staticIndex !== 0) {
      const at = field.staticValues.indexOf(value)
      // An empty value in the static table mostly means that there is none; but an empty one may use it as well.
      if (at >= 0) {
        this.#room(1)
        this.buffer[this.at++] = 0x80 | (field.staticIndex + at)
        return
      }
    }
    if (field.sensitive || (name === 'cookie' && value.length < MIN_INDEXED_COOKIE))
      this.#literal(0x10, 0x0f, field, value)
    else if (slot.last === value && this.#insert(slot, value)) this.#literal(0x40, 0x3f, field, value)
    else {
      slot.last = value
      this.#literal(0x00, 0x0f, field, value)
    }
  }

  #newSlot(name: string): Slot {
    if (this.#slots.size >= MAX_SLOTS) this.#slots.clear()
    let field = fieldName(name)
    if (field.kind === FieldKind.Invalid) {
      field = fieldName(name.toLowerCase())
      invariant(field.kind !== FieldKind.Invalid, 'names off the wire are checked, and those of the configuration too')
    }
    const slot = new Slot(field)
    this.#slots.set(name, slot)
    return slot
  }

  /** Makes an entry, unless it is too large for the table. */
  #insert(slot: Slot, value: string): boolean {
    const size = slot.field.name.length + value.length + ENTRY_OVERHEAD
    // What is wider than latin1 is longer on the wire than it looks.
    if (size > this.#maxSize * MAX_ENTRY_SHARE || SPLITS_VALUE.test(value)) return false
    this.#evict(this.#maxSize - size)
    this.#sizes.push(size)
    this.#size += size
    const number = this.#inserted++
    let at = slot.values.length
    if (at >= MAX_VALUES) {
      at = 0
      for (let i = 1; i < MAX_VALUES; i++) if (slot.numbers[i]! < slot.numbers[at]!) at = i
    }
    slot.values[at] = value
    slot.numbers[at] = number
    slot.last = undefined
    return true
  }

  #evict(target: number): void {
    const sizes = this.#sizes
    while (this.#size > target && this.#head < sizes.length) {
      this.#size -= sizes[this.#head++]!
      this.#evicted++
    }
    if (this.#head > 64 && this.#head * 2 > sizes.length) {
      sizes.splice(0, this.#head)
      this.#head = 0
    }
  }

  #literal(first: number, mask: number, field: FieldName, value: string): void {
    const length = value.length
    // 3 bytes for each character at most (UTF-8), and the two lengths.
    this.#room(field.literal.length + length * 3 + 12)
    if (field.staticIndex !== 0) this.#integer(first, mask, field.staticIndex)
    else {
      this.buffer[this.at++] = first
      this.buffer.set(field.literal, this.at)
      this.at += field.literal.length
    }
    if (length > MAX_LOOPED) {
      if (SPLITS_VALUE.test(value)) this.#wide(value)
      else {
        this.#integer(0, 0x7f, length)
        this.buffer.latin1Write(value, this.at)
        this.at += length
      }
      return
    }
    const { buffer } = this
    let at = this.at
    buffer[at++] = length
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > 255 || code === 0 || code === 10 || code === 13) {
        this.#wide(value)
        return
      }
      buffer[at++] = code
    }
    this.at = at
  }

  /** A value from the configuration may hold any character: it goes out in UTF-8, as it would from Envoy. */
  #wide(value: string): void {
    invariant(!SPLITS_LINE.test(value), WHY)
    const bytes = Buffer.from(value, 'utf8')
    this.#integer(0, 0x7f, bytes.length)
    this.buffer.set(bytes, this.at)
    this.at += bytes.length
  }

  #integer(first: number, mask: number, value: number): void {
    const { buffer } = this
    let at = this.at
    if (value < mask) buffer[at++] = first | value
    else {
      buffer[at++] = first | mask
      for (value -= mask; value > 127; value >>>= 7) buffer[at++] = (value & 127) | 128
      buffer[at++] = value
    }
    this.at = at
  }

  #room(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + bytes))
    this.buffer.copy(larger, 0, 0, this.at)
    this.buffer = larger
  }
}
