import { BlockList, isIP, isIPv4, SocketAddress } from 'node:net'

/** A set of address ranges. IPv4 addresses that arrive mapped into IPv6 (`::ffff:10.0.0.1`) count as IPv4. */
export class CidrSet {
  readonly #ranges = new BlockList()
  readonly size: number

  constructor(ranges: readonly { readonly addressPrefix: string; readonly prefixLen: number | undefined }[]) {
    this.size = ranges.length
    for (const { addressPrefix, prefixLen } of ranges) {
      const family = addressPrefix.includes(':') ? 'ipv6' : 'ipv4'
      this.#ranges.addSubnet(addressPrefix, prefixLen ?? 0, family)
    }
  }

  has(ip: string): boolean {
    if (this.size === 0) return false
    const plain = ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip
    const version = isIP(plain)
    return version !== 0 && this.#ranges.check(plain, version === 6 ? 'ipv6' : 'ipv4')
  }
}

/** `10.0.0.0/8`, `::1/128` or a single address as a range; undefined when it is none of these. */
export function parseCidr(text: string): { addressPrefix: string; prefixLen: number } | undefined {
  const slash = text.indexOf('/')
  const addressPrefix = slash < 0 ? text : text.slice(0, slash)
  const isIPv6 = addressPrefix.includes(':')
  if (isIPv6 ? !parsesAsIPv6(addressPrefix) : !isIPv4(addressPrefix)) return undefined
  const bits = isIPv6 ? 128 : 32
  if (slash < 0) return { addressPrefix, prefixLen: bits }
  const length = text.slice(slash + 1)
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits) return undefined
  return { addressPrefix, prefixLen: Number(length) }
}

/** `isIPv6` of `node:net` compiles a regular expression first that takes 10 ms, and every start parses a range. */
function parsesAsIPv6(text: string): boolean {
  try {
    new SocketAddress({ address: text.replace(/%.+$/, ''), family: 'ipv6' })
    return true
  } catch {
    return false
  }
}

/** An address as a number of 32 or 128 bits, for comparing prefixes; undefined when it is not an address. */
export function addressBits(ip: string): { readonly bits: bigint; readonly width: 32 | 128 } | undefined {
  const version = isIP(ip)
  if (version === 4) {
    const [a, b, c, d] = ip.split('.').map(Number)
    return { bits: BigInt(((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0), width: 32 }
  }
  if (version !== 6) return undefined
  const plain = ip.split('%', 1)[0]!
  const dotted = plain.lastIndexOf('.') < 0 ? '' : plain.slice(plain.lastIndexOf(':') + 1)
  const tail = dotted === '' ? [] : ipv4Groups(dotted)
  const hex = dotted === '' ? plain : plain.slice(0, plain.lastIndexOf(':') + 1)
  const [before, after] = hex.split('::') as [string, string | undefined]
  const head = before.split(':').filter(Boolean)
  const end = [...(after ?? '').split(':').filter(Boolean), ...tail]
  const groups =
    after === undefined ? [...head, ...tail] : [...head, ...Array(8 - head.length - end.length).fill('0'), ...end]
  return { bits: groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n), width: 128 }
}

function ipv4Groups(dotted: string): string[] {
  const [a, b, c, d] = dotted.split('.').map(Number)
  return [((a! << 8) | b!).toString(16), ((c! << 8) | d!).toString(16)]
}
