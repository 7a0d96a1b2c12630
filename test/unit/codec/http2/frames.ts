/**
 * Frames as text and back, independent of the codec: header blocks are written as plain literals, so that what a test
 * sends is what stands in it.
 *
 *   HEADERS 1 end_headers end_stream
 *     :method: GET
 *   DATA 1 end_stream pad=3 "hello"
 *   SETTINGS 4=100 8=1          PING hex:0102030405060708     RST_STREAM 1 CANCEL
 *   WINDOW_UPDATE 0 1000        GOAWAY 3 NO_ERROR "debug"     PRIORITY 3 on=1
 *   FRAME 77 flags=1 1 "any"    bytes 000000040000000000
 *
 * Text has the escapes `\r \n \t \0 \" \\ \xHH`, and `\{text*1000}` for text many times over; a payload may be `hex:…`.
 * A line `*50 …` stands for 50 such frames.
 */

const TYPES = ['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'SETTINGS', 'PUSH_PROMISE', 'PING', 'GOAWAY']
TYPES.push('WINDOW_UPDATE', 'CONTINUATION')
const CODES = ['NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'SETTINGS_TIMEOUT']
CODES.push('STREAM_CLOSED', 'FRAME_SIZE_ERROR', 'REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR')
CODES.push('ENHANCE_YOUR_CALM', 'INADEQUATE_SECURITY', 'HTTP_1_1_REQUIRED')
const FLAGS: Readonly<Record<string, number>> = { end_stream: 1, ack: 1, end_headers: 4, padded: 8, priority: 0x20 }

export function frame(type: number, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId >>> 0, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals without indexing. */
export function plainBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), lengthAndText(name), lengthAndText(value)]))
}

function lengthAndText(text: string): Buffer {
  const bytes: number[] = []
  let rest = text.length
  if (rest < 127) bytes.push(rest)
  else {
    bytes.push(127)
    for (rest -= 127; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128)
    bytes.push(rest)
  }
  return Buffer.concat([Buffer.from(bytes), Buffer.from(text, 'latin1')])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** Bytes of several lines as above. */
export function framesOf(text: string): Buffer {
  const parts: Buffer[] = []
  const lines = text.split('\n').filter(line => line.trim() !== '')
  for (let i = 0; i < lines.length; i++) {
    let line = lines[i]!
    let times = 1
    const repeat = /^\*(\d+) (.*)$/.exec(line)
    if (repeat !== null) {
      times = Number(repeat[1])
      line = repeat[2]!
    }
    const fields: [string, string][] = []
    while (lines[i + 1]?.startsWith('  ') === true) fields.push(fieldOf(lines[++i]!.slice(2)))
    const bytes = frameOf(line, fields)
    for (let n = 0; n < times; n++) parts.push(bytes)
  }
  return Buffer.concat(parts)
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(':', 1)
  return [plainText(line.slice(0, colon)), plainText(line.slice(colon + 1).replace(/^ /, ''))]
}

function frameOf(line: string, fields: readonly [string, string][]): Buffer {
  const words = line.match(/"(?:[^"\\]|\\.)*"|\S+/g)!
  const name = words.shift()!
  if (name === 'bytes') return Buffer.from(words.join(''), 'hex')
  const isOther = name === 'FRAME'
  const type = isOther ? Number(words.shift()) : TYPES.indexOf(name)
  if (type < 0) throw new Error(`unknown frame: ${line}`)
  let flags = 0
  let padding = -1
  let dependency: number | undefined
  const numbers: number[] = []
  const settings: Buffer[] = []
  let payload = plainBlock(fields)
  for (const word of words) {
    const pair = /^(\w+)=(\d+)$/.exec(word)
    if (word in FLAGS) flags |= FLAGS[word]!
    else if (word.startsWith('"'))
      payload = Buffer.concat([payload, Buffer.from(plainText(word.slice(1, -1)), 'latin1')])
    else if (word.startsWith('hex:')) payload = Buffer.concat([payload, Buffer.from(word.slice(4), 'hex')])
    else if (CODES.includes(word)) numbers.push(CODES.indexOf(word))
    else if (pair === null) numbers.push(Number(word))
    else if (pair[1] === 'pad') padding = Number(pair[2])
    else if (pair[1] === 'on') dependency = Number(pair[2])
    else if (pair[1] === 'flags') flags |= Number(pair[2])
    else settings.push(Buffer.from([0, Number(pair[1])]), uint32(Number(pair[2])))
  }
  if (numbers.some(Number.isNaN)) throw new Error(`cannot read: ${line}`)
  const streamless = name === 'SETTINGS' || name === 'PING' || name === 'GOAWAY'
  const streamId = streamless ? 0 : (numbers.shift() ?? 0)
  const priority = dependency === undefined ? [] : [uint32(dependency), Buffer.from([15])]
  payload = Buffer.concat([...numbers.map(uint32), ...settings, ...priority, payload])
  if (dependency !== undefined && name === 'HEADERS') flags |= FLAGS['priority']!
  if (padding >= 0) {
    flags |= FLAGS['padded']!
    payload = Buffer.concat([Buffer.from([padding]), payload, Buffer.alloc(padding)])
  }
  return frame(type, flags, streamId, payload)
}

function plainText(text: string): string {
  const repeated = text.replace(/\\\{(.*?)\*(\d+)\}/g, (_, part: string, count: string) => part.repeat(Number(count)))
  return repeated.replace(/\\(?:x([0-9a-f]{2})|(.))/gi, (whole, hex: string | undefined, letter: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
    const byte = ESCAPES[letter]
    if (byte === undefined) throw new Error(`unknown escape ${whole}`)
    return byte
  })
}

const ESCAPES: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', 0: '\0', '\\': '\\', '"': '"', '{': '{' }

export interface ReadFrame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

/** Throws unless `bytes` are whole frames. */
export function readFrames(bytes: Buffer): ReadFrame[] {
  const frames: ReadFrame[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    const end = at + 9 + length
    if (end > bytes.length) throw new Error('a frame is cut off')
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    })
    at = end
  }
  return frames
}

/** One line for a frame that was sent; header blocks are not shown. */
export function printFrame({ type, flags, streamId, payload }: ReadFrame): string {
  const name = TYPES[type] ?? `FRAME ${type}`
  const end = (flags & 1) !== 0
  const code = (at: number) => CODES[payload.readUInt32BE(at)] ?? String(payload.readUInt32BE(at))
  switch (name) {
    case 'SETTINGS': {
      let out = end ? 'SETTINGS ack' : 'SETTINGS'
      for (let at = 0; at < payload.length; at += 6)
        out += ` ${payload.readUInt16BE(at)}=${payload.readUInt32BE(at + 2)}`
      return out
    }
    case 'PING':
      return `PING${end ? ' ack' : ''} ${payload.toString('hex')}`
    case 'GOAWAY':
      return `GOAWAY ${payload.readUInt32BE(0)} ${code(4)} ${JSON.stringify(payload.toString('latin1', 8))}`
    case 'RST_STREAM':
      return `RST_STREAM ${streamId} ${code(0)}`
    case 'WINDOW_UPDATE':
      return `WINDOW_UPDATE ${streamId} ${payload.readUInt32BE(0)}`
    case 'DATA':
      return `DATA ${streamId}${end ? ' end_stream' : ''} ${payload.length} bytes`
    default:
      return `${name} ${streamId}${end ? ' end_stream' : ''}`
  }
}

export function codeName(code: number): string {
  return CODES[code] ?? String(code)
}
