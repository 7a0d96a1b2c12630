/**
 * Strings as they came on the wire, to what they say: peers repeat themselves across streams and connections, and a string
 * that is known costs one pass over its bytes instead of a decoding, a check and an allocation.
 *
 * Direct-mapped and bounded: a string takes a slot when it comes for the second time in a row there, so that values made
 * for one request (ids, traces) neither push out the others nor cost a copy. test/bench/codec-http2.bench.ts measures it.
 */
import { CLASS_OF } from './character-class.ts'
import type { FieldName } from './field-name.ts'
import { decodedClasses, huffmanDecode } from './huffman.ts'
import '../../latin1.ts'

/** Beside the bits of `CharacterClass`: the string begins or ends with a space or a tab. */
export const STRING_IS_PADDED = 0x80

export class WireString {
  text: string
  /** `CharacterClass` bits of all characters, and {@link STRING_IS_PADDED}. */
  classes: number
  /** What it is as a name, once it was one. */
  field: FieldName | undefined = undefined
  readonly raw: Uint8Array
  readonly huffman: boolean

  constructor(text: string, classes: number, raw: Uint8Array, huffman: boolean) {
    this.text = text
    this.classes = classes
    this.raw = raw
    this.huffman = huffman
  }
}

const SLOTS = 2048
/** Longer strings are not kept: 2048 of this length are 256 KiB. */
const MAX_KEPT = 128
const kept: (WireString | undefined)[] = new Array<WireString | undefined>(SLOTS).fill(undefined)
const seen = new Int32Array(SLOTS)

/** For strings that are not kept; read it at once. */
const passing = new WireString('', 0, new Uint8Array(0), false)
const NOTHING = new WireString('', 0, new Uint8Array(0), false)

let scratch = Buffer.allocUnsafeSlow(16 * 1024)
const MAX_SCRATCH = 256 * 1024

/**
 * The string in `bytes[start, end)`, Huffman-coded or not; undefined when the coding is broken. What is answered may be an
 * object that the next call re-uses.
 */
export function wireString(bytes: Buffer, start: number, end: number, huffman: boolean): WireString | undefined {
  if (start === end) return NOTHING
  if (end - start > MAX_KEPT) return read(passing, bytes, start, end, huffman)
  let hash = huffman ? 7 : 11
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0
  const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
  const there = kept[slot]
  if (there !== undefined && there.huffman === huffman && equals(bytes, start, end, there.raw)) return there
  if (seen[slot] !== hash) {
    seen[slot] = hash
    return read(passing, bytes, start, end, huffman)
  }
  const fresh = new WireString('', 0, Uint8Array.from(bytes.subarray(start, end)), huffman)
  if (read(fresh, bytes, start, end, huffman) === undefined) return undefined
  kept[slot] = fresh
  return fresh
}

/** Equal hashes are no proof, and a confused value would be a hole: every byte is compared. */
function equals(bytes: Buffer, start: number, end: number, raw: Uint8Array): boolean {
  if (raw.length !== end - start) return false
  for (let i = 0; i < raw.length; i++) if (bytes[start + i] !== raw[i]) return false
  return true
}

function read(into: WireString, bytes: Buffer, start: number, end: number, huffman: boolean): WireString | undefined {
  let text: string
  let classes = 0
  if (huffman) {
    const out = roomFor(Math.ceil(((end - start) * 8) / 5))
    const length = huffmanDecode(bytes, start, end, out)
    if (length < 0) return undefined
    text = out.latin1Slice(0, length)
    classes = decodedClasses
  } else {
    for (let i = start; i < end; i++) classes |= CLASS_OF[bytes[i]!]!
    text = bytes.latin1Slice(start, end)
  }
  if (text.length > 0 && (isBlank(text.charCodeAt(0)) || isBlank(text.charCodeAt(text.length - 1)))) {
    classes |= STRING_IS_PADDED
  }
  into.text = text
  into.classes = classes
  into.field = undefined
  return into
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function roomFor(length: number): Buffer {
  if (length <= scratch.length) return scratch
  const larger = Buffer.allocUnsafeSlow(length)
  if (length <= MAX_SCRATCH) scratch = larger
  return larger
}
