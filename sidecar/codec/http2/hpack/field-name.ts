/** Names of header fields as HTTP/2 knows them: what kind of field each is, and where the static table has it. */
import { internHeaderName } from '../../header-map.ts'
import { STATIC_TABLE } from './static-table.ts'

export const FieldKind = {
  Regular: 0,
  Method: 1,
  Scheme: 2,
  Path: 3,
  Authority: 4,
  Protocol: 5,
  Status: 6,
  /** Begins with a colon and is none of those. */
  UnknownPseudo: 7,
  Host: 8,
  Cookie: 9,
  ContentLength: 10,
  Te: 11,
  /** Of the connection, not of the message: must not be in HTTP/2 (RFC 9113 §8.2.2). */
  ConnectionSpecific: 12,
  /** Empty, in upper case, or no token. */
  Invalid: 13,
} as const
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind]

const KINDS: Readonly<Record<string, FieldKind>> = Object.assign(Object.create(null), {
  ':method': FieldKind.Method,
  ':scheme': FieldKind.Scheme,
  ':path': FieldKind.Path,
  ':authority': FieldKind.Authority,
  ':protocol': FieldKind.Protocol,
  ':status': FieldKind.Status,
  host: FieldKind.Host,
  cookie: FieldKind.Cookie,
  'content-length': FieldKind.ContentLength,
  te: FieldKind.Te,
  connection: FieldKind.ConnectionSpecific,
  'keep-alive': FieldKind.ConnectionSpecific,
  'proxy-connection': FieldKind.ConnectionSpecific,
  'transfer-encoding': FieldKind.ConnectionSpecific,
  upgrade: FieldKind.ConnectionSpecific,
})

const VALID_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const COLON = 0x3a

export class FieldName {
  readonly name: string
  readonly kind: FieldKind
  readonly hasUnderscore: boolean
  /** Index of the first entry of this name in the static table; 0: it has none. */
  readonly staticIndex: number
  /** Values of this name in the static table, from {@link staticIndex} on. */
  readonly staticValues: readonly string[]
  /** Length (one byte or more) and characters, as a string literal of RFC 7541 §5.2. */
  readonly literal: Uint8Array
  /**
   * A secret that a third party might guess by watching sizes when it shares a table with it (RFC 7541 §7.1): never
   * indexed, here or at the next hop. Of cookies only short ones, as nghttp2 has it.
   */
  readonly sensitive: boolean

  constructor(name: string) {
    this.name = name
    const pseudo = name.charCodeAt(0) === COLON
    this.kind =
      KINDS[name] ?? (pseudo ? FieldKind.UnknownPseudo : VALID_NAME.test(name) ? FieldKind.Regular : FieldKind.Invalid)
    this.hasUnderscore = name.includes('_')
    this.staticIndex = STATIC_TABLE.findIndex(entry => entry[0] === name) + 1
    this.staticValues =
      this.staticIndex === 0 ? [] : STATIC_TABLE.filter(entry => entry[0] === name).map(entry => entry[1])
    this.literal = literalOf(name)
    this.sensitive = name === 'authorization' || name === 'proxy-authorization'
  }
}

function literalOf(text: string): Uint8Array {
  const bytes: number[] = []
  let rest = text.length
  if (rest < 127) bytes.push(rest)
  else {
    bytes.push(127)
    for (rest -= 127; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128)
    bytes.push(rest)
  }
  for (let i = 0; i < text.length; i++) bytes.push(text.charCodeAt(i))
  return Uint8Array.from(bytes)
}

/** Bounded, since names come from the wire; started anew when full, so that made-up ones push others out for a moment only. */
const MAX_KNOWN = 2048
const MAX_KNOWN_LENGTH = 100
const known = new Map<string, FieldName>()

/** The one {@link FieldName} of a name as it came; names of upper case stay so, and are invalid. */
export function fieldName(name: string): FieldName {
  const there = known.get(name)
  if (there !== undefined) return there
  // `internHeaderName` lowers: only a name that is lower case already may take its canonical instance.
  const interned = internHeaderName(name)
  const fresh = new FieldName(interned === name ? interned : name)
  if (name.length <= MAX_KNOWN_LENGTH) {
    if (known.size >= MAX_KNOWN) known.clear()
    known.set(fresh.name, fresh)
  }
  return fresh
}
