/** One header field as it stands in a table, with the verdict on its value, so that repeating it costs no second check. */
import { CharacterClass } from './character-class.ts'
import { FieldKind, type FieldName } from './field-name.ts'
import { STRING_IS_PADDED } from './string-cache.ts'

/** What each entry of a table costs beside its characters (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD = 32

export class Field {
  readonly name: FieldName
  readonly value: string
  /** The value may not be in a message: see {@link isBadValue}. */
  readonly bad: boolean
  readonly size: number

  constructor(name: FieldName, value: string, bad: boolean) {
    this.name = name
    this.value = value
    this.bad = bad
    this.size = name.name.length + value.length + ENTRY_OVERHEAD
  }
}

/** Host with optional port, as Envoy lets it through: no userinfo, IPv6 in brackets. */
const AUTHORITY = /^(?:[!$%&'()*+,.;=_~0-9a-zA-Z-]*|\[[!$%&'()*+,.;=_~0-9a-zA-Z:-]+\])(?::(\d{0,5}))?$/
const STATUS = /^[1-9]\d\d$/
const LENGTH = /^\d{1,16}$/

/**
 * Classes of characters that no value may have. White space around a value, which nghttp2 lets pass, is refused too: RFC
 * 9113 §8.2.1 says so, and HTTP/1.1 behind us would drop it.
 */
export const NOT_IN_ANY_VALUE = CharacterClass.NotInValue | STRING_IS_PADDED

/**
 * Whether a value must not be in a message (RFC 9113 §8.2, §8.3). `classes` are those of its characters. What is `refused`
 * is so in every field; the rest goes by what the field means.
 */
export function isBadValue(kind: FieldKind, value: string, classes: number, refused: number): boolean {
  if ((classes & refused) !== 0) return true
  switch (kind) {
    case FieldKind.Regular:
    case FieldKind.Cookie:
      return false
    case FieldKind.Method:
    case FieldKind.Protocol:
      return value === '' || (classes & CharacterClass.NotInMethod) !== 0
    case FieldKind.Scheme:
      return value === '' || (classes & CharacterClass.NotInScheme) !== 0
    case FieldKind.Path:
      return value === '' || (classes & CharacterClass.NotInPath) !== 0
    case FieldKind.Authority:
    case FieldKind.Host:
      return !isAuthority(value)
    case FieldKind.Status:
      return !STATUS.test(value)
    case FieldKind.ContentLength:
      return !LENGTH.test(value) || Number(value) > Number.MAX_SAFE_INTEGER
    case FieldKind.Te:
      return value !== 'trailers' && value.toLowerCase() !== 'trailers'
    default:
      return true
  }
}

function isAuthority(value: string): boolean {
  if (value === '') return false
  const match = AUTHORITY.exec(value)
  return match !== null && (match[1] === undefined || Number(match[1]) <= 65535)
}
