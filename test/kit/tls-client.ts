/** A TLS client that sends one request and tells what it saw of the handshake. */
import tls from 'node:tls'

export interface TlsOutcome {
  /** Status and body, `alert N` that was received, or `ended`. */
  readonly answer: string
  readonly reused: boolean
  /** Common name of the certificate that the server showed, and the kind of its key. */
  readonly certificate: string
  /** The last that came. */
  readonly session: Buffer | undefined
  /** Cipher, and group of the key exchange where Node tells it. */
  readonly parameters: string
}

/** One request over a connection of its own; its session is waited for where `keepsSession`. */
export function request(
  port: number,
  path: string,
  options: tls.ConnectionOptions = {},
  keepsSession = false,
): Promise<TlsOutcome> {
  return new Promise(resolve => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    let text = ''
    let alert: string | undefined
    let session: Buffer | undefined
    let certificate = ''
    let reused = false
    let parameters = ''
    const leave = () => {
      if (text.includes('\r\n\r\n') && (!keepsSession || session !== undefined)) socket.end()
    }
    socket.setEncoding('latin1')
    socket.on('secureConnect', () => {
      const { subject, asn1Curve } = socket.getPeerCertificate()
      certificate = `${subject?.CN ?? ''} ${asn1Curve === undefined ? 'rsa' : 'ec'}`
      reused = socket.isSessionReused()
      const { name = '' } = socket.getEphemeralKeyInfo() as { readonly name?: string }
      parameters = `${socket.getCipher().standardName} ${name}`
      socket.write(`GET ${path} HTTP/1.1\r\nhost: server.test\r\n\r\n`)
    })
    socket.on('session', (fresh: Buffer) => {
      session = fresh
      leave()
    })
    socket.on('data', (chunk: string) => {
      text += chunk
      leave()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      alert = /SSL alert number (\d+)/.exec(error.message)?.[1]
    })
    socket.on('close', () => {
      const [, status, body] = /^HTTP\/1.1 (\d+)[\s\S]*?\r\n\r\n([\s\S]*)$/.exec(text) ?? []
      const failed = alert === undefined ? 'ended' : `alert ${alert}`
      resolve({ answer: status === undefined ? failed : `${status} ${body}`, reused, certificate, session, parameters })
    })
  })
}

/** How long a server promises to take the ticket of a session, in seconds; undefined for a session without a ticket. */
export function ticketLifetimeS(session: Buffer): number | undefined {
  // OpenSSL's SSL_SESSION in DER, behind a header of Node's: version 1, TLS 1.x, …, and in [9] the ticket's lifetime.
  const lengthAt = (at: number): [length: number, next: number] => {
    const first = session[at]!
    if (first < 0x80) return [first, at + 1]
    return [session.readUIntBE(at + 1, first & 0x7f), at + 1 + (first & 0x7f)]
  }
  let at = session.indexOf('020101020203', 'hex')
  while (at < session.length) {
    const [length, start] = lengthAt(at + 1)
    if (session[at] === 0xa9) return session.readUIntBE(start + 2, length - 2)
    at = start + length
  }
  return undefined
}
