/**
 * Cuts a JSON array into its elements as its bytes come, for requests of many messages. It looks at strings and brackets
 * only: whether an element is JSON is for its reader to say.
 *
 *   [ {…} , {…} ]  in any split  ─▶  {…}   {…}
 */
export class JsonArraySplitter {
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #bytes = 0
  #depth = 0
  #inString = false
  #escaped = false
  #state: 'before' | 'array' | 'after' = 'before'
  /** What is wrong, '' while nothing is. */
  problem = ''
  tooLarge = false

  /** `maxBytes` of one element. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The elements that became whole. */
  push(data: Buffer): Buffer[] {
    const elements: Buffer[] = []
    let start = 0
    for (let i = 0; i < data.length && this.problem === '' && !this.tooLarge; i++) {
      const byte = data[i]!
      if (this.#state === 'before') {
        if (isBlank(byte)) continue
        if (byte !== OPEN_BRACKET) this.problem = NO_ARRAY
        start = i + 1
        this.#state = 'array'
        continue
      } else if (this.#state === 'after') {
        if (!isBlank(byte)) this.problem = 'Unexpected text after the array'
        continue
      }
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) this.#inString = false
      } else if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++
      else if (this.#depth > 0) {
        if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#depth--
      } else if (byte === COMMA || byte === CLOSE_BRACKET) {
        const element = this.#take(data.subarray(start, i))
        // `[]` has none.
        if (element.some(byte => !isBlank(byte))) elements.push(element)
        else if (byte === COMMA) this.problem = 'Expected a value'
        start = i + 1
        if (byte === CLOSE_BRACKET) this.#state = 'after'
      } else if (byte === CLOSE_BRACE) this.problem = 'Unexpected end of an object'
    }
    if (this.#state === 'array') this.#keep(data.subarray(start))
    return elements
  }

  /** The end of the body: false, with a problem, where the array is not complete. */
  end(): boolean {
    if (this.#state === 'before') this.problem = NO_ARRAY
    else if (this.#state === 'array') this.problem ||= 'Unexpected end of string. Expected , or ] after array value.'
    return this.problem === ''
  }

  #keep(data: Buffer): void {
    this.#bytes += data.length
    if (this.#bytes > this.#maxBytes) this.tooLarge = true
    else if (data.length > 0) this.#chunks.push(Buffer.from(data))
  }

  #take(last: Buffer): Buffer {
    this.#keep(last)
    const element = Buffer.concat(this.#chunks)
    this.#chunks = []
    this.#bytes = 0
    return element
  }
}

const NO_ARRAY = 'Expected an array instead of an object'
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
