/**
 * Decodes header blocks (RFC 7541 §3). One per connection, since blocks build on each other: every block must be decoded to
 * its end, whoever its stream belongs to and whether or not anybody wants it.
 */

import { CharacterClass, CLASS_OF } from './character-class.ts'
import { Field, isBadValue, NOT_IN_ANY_VALUE } from './field.ts'
import { type FieldName, fieldName } from './field-name.ts'
import { STATIC_TABLE } from './static-table.ts'
import { type WireString, wireString } from './string-cache.ts'

/** Takes the fields of one block, in order. */
export interface FieldReceiver {
  onField(name: FieldName, value: string, bad: boolean): void
}

const STATIC: readonly Field[] = STATIC_TABLE.map(([name, value]) => {
  const field = fieldName(name)
  let classes = 0
  for (let i = 0; i < value.length; i++) classes |= CLASS_OF[value.charCodeAt(i)]!
  return new Field(field, value, isBadValue(field.kind, value, classes, NOT_IN_ANY_VALUE))
})
const STATIC_SIZE = STATIC.length

/** No length or index of ours is near it, and it leaves room for the arithmetic. */
const MAX_INTEGER = 0x0fffffff

export class HpackDecoder {
  /** What broke, after {@link decode} answered false. */
  problem = ''
  readonly #entries: Field[] = []
  /** Index of the oldest entry in {@link #entries}; those before it are evicted. */
  #first = 0
  #size = 0
  #maxSize = 4096
  /** What our SETTINGS allow: the peer's encoder may choose less. */
  #limit: number
  #mustShrink = false
  /** Character classes that no value may have. */
  readonly #refused: number
  /** Where the last read ended. */
  #at = 0

  /** `limit`: SETTINGS_HEADER_TABLE_SIZE as we will announce it; until the peer has acknowledged, the default holds too. */
  constructor(limit: number, disallowObsText = false) {
    this.#limit = Math.max(limit, 4096)
    this.#refused = disallowObsText ? NOT_IN_ANY_VALUE | CharacterClass.ObsText : NOT_IN_ANY_VALUE
  }

  /** Octets that the table holds, counted as RFC 7541 §4.1 does. */
  get tableSize(): number {
    return this.#size
  }

  /** The peer has acknowledged this SETTINGS_HEADER_TABLE_SIZE. */
  setLimit(limit: number): void {
    this.#limit = limit
    // RFC 7541 §4.2: its encoder must now say that it uses less.
    if (this.#maxSize > limit) this.#mustShrink = true
  }

  /** Decodes one whole block. False when it breaks the rules: the connection cannot go on (COMPRESSION_ERROR). */
  decode(bytes: Buffer, start: number, end: number, receiver: FieldReceiver): boolean {
    let i = start
    let maySize = true
    while (i < end) {
      const byte = bytes[i]!
      if ((byte & 0x80) !== 0) {
        let index = byte & 0x7f
        i++
        if (index === 0x7f) {
          index = this.#integer(bytes, i, end, 0x7f)
          if (index < 0) return false
          i = this.#at
        }
        const field = this.#field(index)
        if (field === undefined) return this.#fail('an index that is in no table')
        if (this.#mustShrink) return this.#fail('no size update after the limit sank')
        maySize = false
        receiver.onField(field.name, field.value, field.bad)
        continue
      }
      if ((byte & 0xe0) === 0x20) {
        if (!maySize) return this.#fail('a size update behind a field')
        let size = byte & 0x1f
        i++
        if (size === 0x1f) {
          size = this.#integer(bytes, i, end, 0x1f)
          if (size < 0) return false
          i = this.#at
        }
        if (size > this.#limit) return this.#fail('a table larger than allowed')
        this.#mustShrink = false
        this.#maxSize = size
        this.#evict(size)
        continue
      }
      if (this.#mustShrink) return this.#fail('no size update after the limit sank')
      maySize = false
      const indexed = (byte & 0x40) !== 0
      const mask = indexed ? 0x3f : 0x0f
      let index = byte & mask
      i++
      if (index === mask) {
        index = this.#integer(bytes, i, end, mask)
        if (index < 0) return false
        i = this.#at
      }
      let name: FieldName
      if (index === 0) {
        const text = this.#string(bytes, i, end)
        if (text === undefined) return false
        i = this.#at
        // The object may be re-used for the value, so the name is taken from it first.
        name = text.field ??= fieldName(text.text)
      } else {
        const field = this.#field(index)
        if (field === undefined) return this.#fail('an index that is in no table')
        name = field.name
      }
      const text = this.#string(bytes, i, end)
      if (text === undefined) return false
      i = this.#at
      const value = text.text
      const bad = isBadValue(name.kind, value, text.classes, this.#refused)
      if (indexed) this.#insert(new Field(name, value, bad))
      receiver.onField(name, value, bad)
    }
    return true
  }

  #field(index: number): Field | undefined {
    if (index <= STATIC_SIZE) return STATIC[index - 1]
    const at = this.#entries.length - (index - STATIC_SIZE)
    return at < this.#first ? undefined : this.#entries[at]
  }

  /** An integer whose prefix is full (RFC 7541 §5.1); -1 when it is cut off or too large. */
  #integer(bytes: Buffer, start: number, end: number, prefix: number): number {
    let value = prefix
    let shift = 0
    for (let i = start; i < end; i++) {
      const byte = bytes[i]!
      value += (byte & 0x7f) * 2 ** shift
      if (value > MAX_INTEGER || shift > 28) break
      if ((byte & 0x80) === 0) {
        this.#at = i + 1
        return value
      }
      shift += 7
    }
    this.#fail('an integer that is cut off or too large')
    return -1
  }

  #string(bytes: Buffer, start: number, end: number): WireString | undefined {
    if (start >= end) {
      this.#fail('a string that is cut off')
      return undefined
    }
    const byte = bytes[start]!
    let length = byte & 0x7f
    let from = start + 1
    if (length === 0x7f) {
      length = this.#integer(bytes, from, end, 0x7f)
      if (length < 0) return undefined
      from = this.#at
    }
    if (length > end - from) {
      this.#fail('a string that is cut off')
      return undefined
    }
    this.#at = from + length
    const text = wireString(bytes, from, from + length, (byte & 0x80) !== 0)
    if (text === undefined) this.#fail('a Huffman coding that is broken')
    return text
  }

  #insert(field: Field): void {
    this.#evict(this.#maxSize - field.size)
    // An entry larger than the table empties it, and that is no error (RFC 7541 §4.4).
    if (field.size > this.#maxSize) return
    this.#entries.push(field)
    this.#size += field.size
  }

  #evict(target: number): void {
    const entries = this.#entries
    while (this.#size > target && this.#first < entries.length) this.#size -= entries[this.#first++]!.size
    // Evicted ones are dropped when they are more than those left, so that each is moved once on average.
    if (this.#first > 64 && this.#first * 2 > entries.length) {
      entries.splice(0, this.#first)
      this.#first = 0
    }
  }

  #fail(problem: string): false {
    this.problem = problem
    return false
  }
}
