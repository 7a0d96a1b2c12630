const SHORT_TEXT = 48
const TWO_TO_32 = 4_294_967_296

/**
 * Writes protobuf into one growing buffer, front to back: the length of a nested message is put in once it is known, by
 * moving the message on when its length takes more than the one byte kept for it.
 */
export class ProtobufWriter {
  #buffer: Buffer
  #length = 0

  constructor(initialBytes = 16_384) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  get length(): number {
    return this.#length
  }

  /** What has been written, copied; the writer starts anew. */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#length))
    this.#length = 0
    return bytes
  }

  varintField(field: number, value: number): void {
    if (value === 0) return
    this.#tag(field, 0)
    this.#varint(value)
  }

  /** 64 bits, also 0: in a oneof it says which one is set. */
  bigintField(field: number, value: bigint): void {
    this.#tag(field, 0)
    let rest = BigInt.asUintN(64, value)
    this.#reserve(10)
    while (rest > 127n) {
      this.#buffer[this.#length++] = Number(rest & 127n) | 128
      rest >>= 7n
    }
    this.#buffer[this.#length++] = Number(rest)
  }

  doubleField(field: number, value: number): void {
    this.#tag(field, 1)
    this.#reserve(8)
    this.#length = this.#buffer.writeDoubleLE(value, this.#length)
  }

  /** Nanoseconds of a time given in microseconds, as fixed64: the product does not fit a number, its halves do. */
  nanosecondsField(field: number, microseconds: number): void {
    this.#tag(field, 1)
    this.#reserve(8)
    const low = (microseconds % TWO_TO_32) * 1000
    const high = Math.floor(microseconds / TWO_TO_32) * 1000 + Math.floor(low / TWO_TO_32)
    this.#uint32(low % TWO_TO_32)
    this.#uint32(high)
  }

  #uint32(value: number): void {
    const buffer = this.#buffer
    buffer[this.#length++] = value & 255
    buffer[this.#length++] = (value >>> 8) & 255
    buffer[this.#length++] = (value >>> 16) & 255
    buffer[this.#length++] = (value >>> 24) & 255
  }

  stringField(field: number, text: string): void {
    if (text === '') return
    this.alwaysStringField(field, text)
  }

  /** Also the empty string: in a oneof it says which one is set. */
  alwaysStringField(field: number, text: string): void {
    this.#tag(field, 2)
    // Three bytes are the most that a UTF-16 unit takes; short texts cannot outgrow a length of one byte.
    const most = text.length * 3
    this.#reserve(most + 5)
    const start = this.#length + 1
    const bytes = this.#writeText(text, start)
    this.#endAt(start, start + bytes)
  }

  bytesField(field: number, bytes: Uint8Array): void {
    this.#tag(field, 2)
    this.#varint(bytes.length)
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Fields that are encoded already. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Lower-case hex digits as the bytes they stand for. */
  hexField(field: number, hex: string): void {
    this.#tag(field, 2)
    const bytes = hex.length >> 1
    this.#varint(bytes)
    this.#reserve(bytes)
    const buffer = this.#buffer
    let at = this.#length
    for (let i = 0; i < hex.length; i += 2) {
      buffer[at++] = (hexDigit(hex.charCodeAt(i)) << 4) | hexDigit(hex.charCodeAt(i + 1))
    }
    this.#length = at
  }

  /** Opens a nested message; give what it returns to {@link end}. */
  begin(field: number): number {
    this.#tag(field, 2)
    this.#reserve(1)
    return ++this.#length
  }

  end(start: number): void {
    this.#endAt(start, this.#length)
  }

  /** Short ASCII, which most texts are, byte by byte: the call into native code would cost more. */
  #writeText(text: string, at: number): number {
    const buffer = this.#buffer
    const length = text.length
    if (length > SHORT_TEXT) return buffer.write(text, at, 'utf8')
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 127) return buffer.write(text, at, 'utf8')
      buffer[at + i] = code
    }
    return length
  }

  #endAt(start: number, end: number): void {
    const size = end - start
    let extra = 0
    for (let rest = size >>> 7; rest > 0; rest >>>= 7) extra++
    if (extra > 0) {
      this.#length = end
      this.#reserve(extra)
      this.#buffer.copyWithin(start + extra, start, end)
    }
    let position = start - 1
    let rest = size
    while (rest > 127) {
      this.#buffer[position++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.#buffer[position] = rest
    this.#length = end + extra
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType)
  }

  #varint(value: number): void {
    this.#reserve(10)
    while (value > 127) {
      this.#buffer[this.#length++] = (value % 128) | 128
      value = Math.floor(value / 128)
    }
    this.#buffer[this.#length++] = value
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

function hexDigit(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57
}
