/**
 * The ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2): what a TLS client says before anything is encrypted, read to
 * choose a filter chain and a certificate. Bytes in, values out; nothing is verified that OpenSSL will verify anyway.
 *
 * A hello may be spread over several records and over any number of reads; as long as it may still become one, the answer
 * is `more`.
 */

export interface ClientHello {
  /** Cipher suites by number, in the client's order. */
  readonly ciphers: readonly number[]
  /** SNI in lower case (RFC 6066 §3), '' when there is none. */
  readonly serverName: string
  /** ALPN names (RFC 7301) in the client's order. */
  readonly alpn: readonly string[]
  /** TLS 1.3 is among the versions offered. */
  readonly offersTls13: boolean
  /** The client can keep session tickets (RFC 5077), so that it needs no session remembered here. */
  readonly takesTickets: boolean
  /** The client can check signatures of elliptic-curve keys. */
  readonly takesEcdsa: boolean
  /** Name of the key that the session ticket it offers is encrypted with (RFC 5077 §4), in hex; '' without a ticket. */
  readonly ticketKeyName: string
}

/** `too_large`: more bytes than allowed and still no end. `malformed`: TLS, but no ClientHello that can be read. */
export type ClientHelloResult = ClientHello | 'more' | 'not_tls' | 'too_large' | 'malformed'

const HANDSHAKE_RECORD = 22
const CLIENT_HELLO = 1
const RECORD_HEAD = 5
const MESSAGE_HEAD = 4
/** A ticket begins with the name of its key, 16 bytes, as OpenSSL writes it (and RFC 5077 §4 recommends). */
const KEY_NAME = 16
/** A record's plaintext is 2^14 bytes at most (RFC 8446 §5.1). */
const MAX_RECORD = 16384

const Extension = {
  ServerName: 0,
  SignatureAlgorithms: 13,
  Alpn: 16,
  SessionTicket: 35,
  PreSharedKey: 41,
  SupportedVersions: 43,
} as const

/** Reads the ClientHello at the start of `bytes`, of which at most `maxBytes` may be needed. */
export function parseClientHello(bytes: Buffer, maxBytes = MAX_RECORD): ClientHelloResult {
  const message = handshakeMessage(bytes, maxBytes)
  if (typeof message === 'string') return message
  try {
    return readHello(new Reader(message))
  } catch (error) {
    if (error instanceof RangeError) return 'malformed'
    throw error
  }
}

/** The body of the handshake message, put together from its records. */
function handshakeMessage(bytes: Buffer, maxBytes: number): Buffer | Exclude<ClientHelloResult, ClientHello> {
  const parts: Buffer[] = []
  let size = 0
  let wanted = -1
  for (let at = 0; ; ) {
    const left = bytes.length - at
    if (left >= 1 && bytes[at] !== HANDSHAKE_RECORD) return at === 0 ? 'not_tls' : 'malformed'
    if (left >= 2 && bytes[at + 1] !== 3) return at === 0 ? 'not_tls' : 'malformed'
    if (left < RECORD_HEAD) return bytes.length >= maxBytes ? 'too_large' : 'more'
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > MAX_RECORD) return at === 0 ? 'not_tls' : 'malformed'
    const part = bytes.subarray(at + RECORD_HEAD, at + RECORD_HEAD + length)
    parts.push(part)
    size += part.length
    if (wanted < 0 && size >= 1 && firstByte(parts) !== CLIENT_HELLO) return 'malformed'
    if (wanted < 0 && size >= MESSAGE_HEAD) {
      wanted = Buffer.concat(parts).readUIntBE(1, 3)
      if (wanted + MESSAGE_HEAD + RECORD_HEAD > maxBytes) return 'too_large'
    }
    if (wanted >= 0 && size >= wanted + MESSAGE_HEAD) {
      const whole = parts.length === 1 ? part : Buffer.concat(parts)
      return whole.subarray(MESSAGE_HEAD, MESSAGE_HEAD + wanted)
    }
    if (part.length < length) return bytes.length >= maxBytes ? 'too_large' : 'more'
    at += RECORD_HEAD + length
  }
}

function firstByte(parts: readonly Buffer[]): number | undefined {
  return parts.find(part => part.length > 0)?.[0]
}

function readHello(reader: Reader): ClientHello {
  const version = reader.uint16()
  reader.skip(32) // random
  reader.skip(reader.uint8()) // session id
  const ciphers: number[] = []
  const suites = reader.vector(reader.uint16())
  while (suites.left > 0) ciphers.push(suites.uint16())
  reader.skip(reader.uint8()) // compression methods
  let serverName = ''
  let alpn: string[] = []
  let offersTls13 = false
  let takesTickets = false
  let takesEcdsa = version < 0x0303
  let ticketKeyName = ''
  if (reader.left > 0) {
    const extensions = reader.vector(reader.uint16())
    while (extensions.left > 0) {
      const type = extensions.uint16()
      const body = extensions.vector(extensions.uint16())
      switch (type) {
        case Extension.ServerName:
          serverName = readServerName(body)
          break
        case Extension.Alpn:
          alpn = readAlpn(body)
          break
        case Extension.SupportedVersions: {
          const versions = body.vector(body.uint8())
          while (versions.left > 0) offersTls13 = versions.uint16() === 0x0304 || offersTls13
          break
        }
        case Extension.SignatureAlgorithms: {
          const schemes = body.vector(body.uint16())
          // ecdsa_secp256r1_sha256 and its kin end in 3: the algorithm byte of TLS 1.2.
          while (schemes.left > 0) takesEcdsa = (schemes.uint16() & 0xff) === 3 || takesEcdsa
          break
        }
        case Extension.SessionTicket:
          takesTickets = true
          if (body.left > KEY_NAME) ticketKeyName = body.vector(KEY_NAME).hex()
          break
        case Extension.PreSharedKey: {
          const identities = body.vector(body.uint16())
          const identity = identities.vector(identities.uint16())
          if (identity.left > KEY_NAME) ticketKeyName = identity.vector(KEY_NAME).hex()
          break
        }
      }
    }
  }
  return { ciphers, serverName, alpn, offersTls13, takesTickets, takesEcdsa, ticketKeyName }
}

function readServerName(body: Reader): string {
  const list = body.vector(body.uint16())
  while (list.left > 0) {
    const type = list.uint8()
    const name = list.vector(list.uint16())
    if (type === 0) return name.text().toLowerCase()
  }
  return ''
}

function readAlpn(body: Reader): string[] {
  const names: string[] = []
  const list = body.vector(body.uint16())
  while (list.left > 0) names.push(list.vector(list.uint8()).text())
  return names
}

/** Reads on from byte to byte; throws RangeError where the bytes end too soon. */
class Reader {
  readonly #bytes: Buffer
  #at = 0
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }
  get left(): number {
    return this.#bytes.length - this.#at
  }
  uint8(): number {
    const value = this.#bytes.readUInt8(this.#at)
    this.#at += 1
    return value
  }
  uint16(): number {
    const value = this.#bytes.readUInt16BE(this.#at)
    this.#at += 2
    return value
  }
  skip(size: number): void {
    if (size > this.left) throw new RangeError('a length reaches beyond the end')
    this.#at += size
  }
  vector(size: number): Reader {
    const start = this.#at
    this.skip(size)
    return new Reader(this.#bytes.subarray(start, start + size))
  }
  text(): string {
    return this.#bytes.toString('latin1')
  }
  hex(): string {
    return this.#bytes.toString('hex')
  }
}
