/** A DNS server on loopback (UDP) that answers what a test says. */
import { createSocket, type Socket } from 'node:dgram'
import type { AddressInfo } from 'node:net'
import { isIPv6 } from 'node:net'

export type DnsReply =
  | { readonly addresses: readonly string[]; readonly ttl?: number; readonly delayMs?: number }
  | 'NXDOMAIN'
  | 'SERVFAIL'
  | 'REFUSED'
  /** No answer at all. */
  | 'silence'

const RCODES = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 }
const TYPE_A = 1
const TYPE_AAAA = 28

export class FakeDns {
  /** By name in lower case; what is not here is NXDOMAIN. */
  readonly names = new Map<string, DnsReply>()
  /** What was asked, `A name` or `AAAA name`, in order. */
  readonly queries: string[] = []
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (message, { port, address }) => {
      const { name, type, end } = question(message)
      this.queries.push(`${type === TYPE_AAAA ? 'AAAA' : 'A'} ${name}`)
      const reply = this.names.get(name) ?? 'NXDOMAIN'
      if (reply === 'silence') return
      const bytes = response(message.subarray(0, end), type, reply)
      const send = () => socket.send(bytes, port, address)
      if (typeof reply === 'object' && reply.delayMs !== undefined) setTimeout(send, reply.delayMs)
      else send()
    })
  }

  static start(names: Readonly<Record<string, DnsReply>> = {}, port = 0): Promise<FakeDns> {
    const socket = createSocket('udp4')
    const server = new FakeDns(socket)
    for (const [name, reply] of Object.entries(names)) server.names.set(name, reply)
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(port, '127.0.0.1', () => resolve(server))
    })
  }

  get port(): number {
    return (this.#socket.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>(resolve => this.#socket.close(() => resolve()))
  }
}

function question(message: Buffer): { name: string; type: number; end: number } {
  let offset = 12
  const labels: string[] = []
  while (message[offset] !== 0) {
    const length = message[offset]!
    labels.push(message.toString('latin1', offset + 1, offset + 1 + length))
    offset += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(offset + 1), end: offset + 5 }
}

function response(query: Buffer, type: number, reply: Exclude<DnsReply, 'silence'>): Buffer {
  const head = Buffer.from(query)
  const addresses = typeof reply === 'string' ? [] : reply.addresses.filter(ip => isIPv6(ip) === (type === TYPE_AAAA))
  const ofKind = type === TYPE_A || type === TYPE_AAAA ? addresses : []
  // Response, recursion desired and available, and the code.
  head.writeUInt16BE(0x8180 | (typeof reply === 'string' ? RCODES[reply] : 0), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(ofKind.length, 6)
  head.writeUInt32BE(0, 8)
  const ttl = typeof reply === 'string' ? 0 : (reply.ttl ?? 60)
  const records = ofKind.map(ip => {
    const data = isIPv6(ip) ? ipv6Bytes(ip) : Buffer.from(ip.split('.').map(Number))
    const record = Buffer.alloc(12)
    record.writeUInt16BE(0xc00c, 0) // The name is the one that was asked for.
    record.writeUInt16BE(type, 2)
    record.writeUInt16BE(1, 4)
    record.writeUInt32BE(ttl, 6)
    record.writeUInt16BE(data.length, 10)
    return Buffer.concat([record, data])
  })
  return Buffer.concat([head, ...records])
}

function ipv6Bytes(ip: string): Buffer {
  const [left, right] = ip.split('::') as [string, string | undefined]
  const groups = (text: string | undefined) => (text === undefined || text === '' ? [] : text.split(':'))
  const first = groups(left)
  const last = groups(right)
  const middle = new Array<string>(8 - first.length - last.length).fill('0')
  const bytes = Buffer.alloc(16)
  for (const [i, group] of [...first, ...middle, ...last].entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2)
  return bytes
}
