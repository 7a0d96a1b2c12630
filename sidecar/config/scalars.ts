/**
 * Scalars of YAML and JSON, read by the kind of the field that receives them, as Envoy 1.40 reads them: yaml-cpp decides
 * whether an unquoted scalar is a bool, a whole number or a string, and protobuf's JSON parser takes it from there.
 * Every rule here was tried on the real binary (test/unit/config/dialect.test.ts lists them).
 *
 * Kinder than Envoy in one thing: an unquoted `n` or `123` in a string field is that string.
 */

import { booleanOf } from '../base/boolean-text.ts'
import { didYouMean } from '../base/suggest.ts'
import type { JsonValue } from './schema/generated/types.ts'
import { type EnumDescriptor, Kind } from './schema/table.ts'
import { type ConfigNode, describeNode, type ScalarNode } from './tree.ts'

/** Why a scalar does not fit its field. */
export class Mismatch {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

export function decodeScalar(kind: Kind, node: ConfigNode, enumeration?: EnumDescriptor): unknown | Mismatch {
  if (node.kind !== 'scalar') return new Mismatch(`must be ${kindNames[kind] ?? 'a number'}, not ${describeNode(node)}`)
  switch (kind) {
    case Kind.String:
      return node.text
    case Kind.Bool:
      return decodeBool(node)
    case Kind.Enum:
      return decodeEnum(node, enumeration!)
    case Kind.Bytes:
      return decodeBytes(node)
    case Kind.Double:
    case Kind.Float:
      return decodeDouble(node)
    default:
      return decodeInteger(node, kind)
  }
}

const kindNames: Readonly<Partial<Record<Kind, string>>> = {
  [Kind.String]: 'a string',
  [Kind.Bool]: 'true or false',
  [Kind.Bytes]: 'a string in base64',
  [Kind.Enum]: 'one of the names of this field',
}

/** What yaml-cpp makes of an unquoted scalar; `undefined` means it stays a string. */
export function plainValue(text: string): boolean | bigint | undefined {
  if (yamlBooleans.test(text)) return /^[yYtT]|^[oO][nN]$/.test(text)
  const number = /^([+-]?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(text)
  if (!number) return undefined
  const [, sign, digits = ''] = number
  const octal = /^0[0-7]+$/.test(digits)
  // A decimal with a leading zero that holds an 8 or a 9 is no number to yaml-cpp.
  if (!octal && /^0\d/.test(digits)) return undefined
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits)
  return sign === '-' ? -value : value
}

/** All lower case, all upper case, or capitalised; `yEs` is a string. */
const yamlBooleans = /^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/

/** Whether Envoy would refuse this scalar in a string field, since yaml-cpp takes it for a bool or a number. */
export function isMisreadString(node: ConfigNode): boolean {
  return node.kind === 'scalar' && !node.quoted && plainValue(node.text) !== undefined
}

function decodeBool(node: ScalarNode): boolean | Mismatch {
  const plain = node.quoted ? undefined : plainValue(node.text)
  if (typeof plain === 'boolean') return plain
  // A string goes through absl::SimpleAtob; an unquoted 1 is a number, and no bool.
  const said = plain === undefined ? booleanOf(node.text) : undefined
  return said ?? new Mismatch(`must be true or false, not ${describeNode(node)}`)
}

function decodeEnum(node: ScalarNode, { names, numbers, anyCase }: EnumDescriptor): string | Mismatch {
  if (numbers.has(node.text)) return node.text
  const found = anyCase.get(node.text.toUpperCase())
  if (found !== undefined) return found
  const number = integerOf(node)
  if (number !== undefined) {
    const name = names.get(Number(number))
    if (name !== undefined) return name
  }
  const known = [...numbers.keys()]
  const list = known.length <= 12 ? `; it is one of ${known.join(', ')}` : ''
  return new Mismatch(`has no value ${describeNode(node)}${didYouMean(node.text, known) || list}`)
}

function decodeBytes(node: ScalarNode): Uint8Array | Mismatch {
  const text = node.text.replaceAll('-', '+').replaceAll('_', '/')
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return new Mismatch('must be a string in base64')
  return new Uint8Array(Buffer.from(text, 'base64'))
}

function decodeDouble(node: ScalarNode): number | Mismatch {
  const plain = node.quoted ? undefined : plainValue(node.text)
  if (typeof plain === 'bigint') return Number(plain)
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(node.text)) return Number(node.text)
  if (/^(?:NaN|-?Infinity)$/.test(node.text)) return Number(node.text)
  return new Mismatch(`must be a number, not ${describeNode(node)}`)
}

const limits: Readonly<Partial<Record<Kind, readonly [bigint, bigint]>>> = {
  [Kind.Int32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [Kind.SInt32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [Kind.SFixed32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [Kind.UInt32]: [0n, 2n ** 32n - 1n],
  [Kind.Fixed32]: [0n, 2n ** 32n - 1n],
  [Kind.UInt64]: [0n, 2n ** 53n],
  [Kind.Fixed64]: [0n, 2n ** 53n],
}
/** 64-bit numbers are plain numbers here, so they end where those stop being exact. */
const signed64: readonly [bigint, bigint] = [-(2n ** 53n), 2n ** 53n]

function decodeInteger(node: ScalarNode, kind: Kind): number | Mismatch {
  const value = integerOf(node)
  if (value === undefined) return new Mismatch(`must be a whole number, not ${describeNode(node)}`)
  const [least, most] = limits[kind] ?? signed64
  if (value < least) return new Mismatch(`must be at least ${least}, not ${value}`)
  if (value > most) return new Mismatch(`must be at most ${most}, not ${value}`)
  return Number(value)
}

function integerOf({ text, quoted }: ScalarNode): bigint | undefined {
  const plain = quoted ? undefined : plainValue(text)
  if (typeof plain === 'bigint') return plain
  if (plain !== undefined) return undefined
  if (/^[+-]?(?:0[xX][0-9a-fA-F]{1,16}|\d{1,20})$/.test(text)) {
    const digits = BigInt(text.replace(/^[+-]/, ''))
    return text.startsWith('-') ? -digits : digits
  }
  // `5.0` and `1e3` are whole numbers too.
  if (!/^[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?$/.test(text)) return undefined
  const number = Number(text)
  return Number.isInteger(number) ? BigInt(number) : undefined
}

/** google.protobuf.Duration in milliseconds: `1.5s`, nothing else. */
export function decodeDuration(node: ScalarNode): number | Mismatch {
  const { text } = node
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text)
  if (match) {
    const [, sign, seconds = '0', fraction = ''] = match
    if (Number(seconds) > maxDurationSeconds) return new Mismatch(`must be at most ${maxDurationSeconds}s`)
    const ms = Number(seconds) * 1000 + Number(fraction.padEnd(9, '0')) / 1e6
    return sign === '-' ? -ms : ms
  }
  return new Mismatch(`must be a duration in seconds such as "1.5s", not ${describeNode(node)}${durationCure(text)}`)
}

/** 10,000 years; protobuf's own bound. */
export const maxDurationSeconds = 315_576_000_000

const unitSeconds: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  ms: 1e-3,
  m: 60,
  h: 3600,
  d: 86400,
  '': 1,
  S: 1,
}

function durationCure(text: string): string {
  const match = /^(\d+(?:\.\d+)?) ?(ns|us|µs|ms|m|h|d|S|)$/.exec(text)
  if (!match) return ''
  const seconds = Number(match[1]) * unitSeconds[match[2]!]!
  return `; write "${Number(seconds.toFixed(9))}s"`
}

/** google.protobuf.Timestamp in milliseconds since 1970. */
export function decodeTimestamp(node: ScalarNode): number | Mismatch {
  const match = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/.exec(node.text)
  const ms = match ? Date.parse(node.text) : Number.NaN
  return Number.isNaN(ms)
    ? new Mismatch(`must be a time such as "2026-01-31T12:00:00Z", not ${describeNode(node)}`)
    : ms
}

/**
 * A scalar where any JSON value may stand (metadata, log formats). In YAML, Envoy keeps fractions and numbers beyond 32
 * bits as strings (measured: `1.5` arrives as "1.5"); a JSON file gives numbers.
 */
export function decodeJsonScalar({ text, quoted }: ScalarNode, isJson: boolean): JsonValue {
  if (quoted) return text
  if (/^(?:~|null|Null|NULL|)$/.test(text)) return null
  if (isJson && /^-?\d/.test(text)) return Number(text)
  const plain = plainValue(text)
  if (plain === undefined) return text
  if (typeof plain === 'boolean') return plain
  return plain >= -(2n ** 31n) && plain < 2n ** 31n ? Number(plain) : String(plain)
}
