/**
 * The Huffman code of HPACK (RFC 7541 §5.2, appendix B), decoded four bits at a time by a state machine: the states are
 * the inner nodes of the code's tree, and since no code is shorter than five bits, four bits end at most one symbol.
 *
 * Only decoding is here: our encoder writes strings as they are (see `encoder.ts`).
 */
import { CLASS_OF } from './character-class.ts'

/**
 * Length of each symbol's code in bits, as a digit to the base of 36; the last is EOS. The code is canonical (codes of
 * one length follow each other in the order of their symbols), so that the lengths say all.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u'

const EOS = 256
const STATES = 256

/** `state << 4 | nibble` → next state in the low byte, a symbol in the second when EMITS is set. */
const STEP = new Int32Array(STATES * 16)
const EMITS = 1 << 16
const FAILS = 1 << 17
/** 1: the input may end here, since the bits so far are padding: fewer than eight, all ones. */
const MAY_END = new Uint8Array(STATES)

buildTables()

function buildTables(): void {
  // The tree: child of each node by bit, as the number of an inner node, or -1 - symbol.
  const children = new Int32Array(STATES * 2)
  let nodes = 1
  const order = Array.from({ length: LENGTHS.length }, (_, symbol) => symbol)
  const lengthOf = (symbol: number) => Number.parseInt(LENGTHS[symbol]!, 36)
  order.sort((a, b) => lengthOf(a) - lengthOf(b) || a - b)
  let code = 0
  let length = 0
  for (const symbol of order) {
    code <<= lengthOf(symbol) - length
    length = lengthOf(symbol)
    let node = 0
    for (let bit = length - 1; bit > 0; bit--) {
      const edge = node * 2 + ((code >>> bit) & 1)
      if (children[edge] === 0) children[edge] = nodes++
      node = children[edge]!
    }
    children[node * 2 + (code & 1)] = -1 - symbol
    code++
  }
  for (let state = 0; state < STATES; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state
      let step = 0
      for (let bit = 3; bit >= 0 && (step & FAILS) === 0; bit--) {
        node = children[node * 2 + ((nibble >>> bit) & 1)]!
        if (node >= 0) continue
        // EOS in the middle is an error (RFC 7541 §5.2).
        step |= -1 - node === EOS ? FAILS : EMITS | ((-1 - node) << 8)
        node = 0
      }
      STEP[(state << 4) | nibble] = step | node
    }
  }
  for (let node = 0, bits = 0; bits < 8; bits++) {
    MAY_END[node] = 1
    node = children[node * 2 + 1]!
  }
}

/** Classes (see `character-class.ts`) of what {@link huffmanDecode} last decoded, all together. */
export let decodedClasses = 0

/** Decodes `bytes[start, end)` into `out`, which must have room for 8/5 of it. Answers the length, -1 for a coding error. */
export function huffmanDecode(bytes: Buffer, start: number, end: number, out: Buffer): number {
  let state = 0
  let length = 0
  let classes = 0
  let fails = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    let step = STEP[(state << 4) | (byte >>> 4)]!
    if ((step & EMITS) !== 0) {
      const symbol = (step >>> 8) & 0xff
      classes |= CLASS_OF[symbol]!
      out[length++] = symbol
    }
    fails |= step
    step = STEP[((step & 0xff) << 4) | (byte & 15)]!
    if ((step & EMITS) !== 0) {
      const symbol = (step >>> 8) & 0xff
      classes |= CLASS_OF[symbol]!
      out[length++] = symbol
    }
    fails |= step
    state = step & 0xff
  }
  decodedClasses = classes
  return (fails & FAILS) !== 0 || MAY_END[state] === 0 ? -1 : length
}
