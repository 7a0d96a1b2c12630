/**
 * Header names straight from the bytes: the scanner hashes a name while it checks it, and a hit here gives the interned
 * name without making a string of it first. test/bench/codec-http1.bench.ts: a name costs some 12 ns this way, 40 as
 * slice, lower case and map.
 */
import { internHeaderName } from '../header-map.ts'
import '../latin1.ts'
import { TOKEN_LOWER } from './characters.ts'

/** What the parser itself must understand. */
export const NameKind = {
  Other: 0,
  ContentLength: 1,
  TransferEncoding: 2,
  Connection: 3,
  Host: 4,
  Upgrade: 5,
  Expect: 6,
  ProxyConnection: 7,
  /** Not allowed in trailers, otherwise ordinary. */
  NotInTrailers: 8,
} as const
export type NameKind = (typeof NameKind)[keyof typeof NameKind]

const KINDS: Readonly<Record<string, NameKind>> = {
  'content-length': NameKind.ContentLength,
  'transfer-encoding': NameKind.TransferEncoding,
  connection: NameKind.Connection,
  host: NameKind.Host,
  upgrade: NameKind.Upgrade,
  expect: NameKind.Expect,
  'proxy-connection': NameKind.ProxyConnection,
}

/**
 * RFC 9110 §6.5.1: no trailer may steer framing, routing, authentication, request modifiers, response control or how the
 * content is read. Those above are left out as well.
 */
const NOT_IN_TRAILERS = [
  'age',
  'authentication-info',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expires',
  'forwarded',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'vary',
  'warning',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]

export class KnownName {
  readonly name: string
  readonly kind: NameKind
  constructor(name: string) {
    this.name = name
    this.kind = KINDS[name] ?? (NOT_IN_TRAILERS.includes(name) ? NameKind.NotInTrailers : NameKind.Other)
  }
}

/** Direct-mapped: a name that hashes to a taken slot takes it over, so names made up by a peer cost time only. */
const SLOTS = 4096
const slots: (KnownName | undefined)[] = new Array<KnownName | undefined>(SLOTS).fill(undefined)

/** The start of every name's hash; the scanner goes on with `hash = (hash * 31 + lowerCase) | 0` per byte. */
export const HASH_SEED = 7

/** The name in `bytes[start, end)`, of which `hash` is the hash over the lower-case bytes. */
export function knownName(hash: number, bytes: Buffer, start: number, end: number): KnownName {
  const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
  const known = slots[slot]
  if (known !== undefined && isSame(known.name, bytes, start, end)) return known
  const fresh = new KnownName(internHeaderName(bytes.latin1Slice(start, end)))
  slots[slot] = fresh
  return fresh
}

/** Equal hashes are no proof, and a confused name would be a hole: every byte is compared. */
function isSame(name: string, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false
  for (let i = 0; i < name.length; i++) {
    if (TOKEN_LOWER[bytes[start + i]!] !== name.charCodeAt(i)) return false
  }
  return true
}
