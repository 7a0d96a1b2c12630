/** Character classes of RFC 9110 §5.6 and RFC 3986 as tables: one load per byte tells. */

const TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/** For each byte that a token may have, its lower case; 0 for all others. */
export const TOKEN_LOWER = new Uint8Array(256)
for (const character of TOKEN) TOKEN_LOWER[character.charCodeAt(0)] = character.toLowerCase().charCodeAt(0)

/** Method tokens are case-sensitive, so this one keeps the case: 1 or 0. */
export const IS_TOKEN = new Uint8Array(256)
for (const character of TOKEN) IS_TOKEN[character.charCodeAt(0)] = 1

/**
 * Visible ASCII. Wider than RFC 3986 on purpose, as Envoy is: URLs with `"<>\^{|}` or a back tick are on every web
 * site. White space and bytes above 126 are not: proxies have read them differently.
 */
export const IS_TARGET = new Uint8Array(256)
for (let byte = 0x21; byte <= 0x7e; byte++) IS_TARGET[byte] = 1

/** What Envoy lets through in an authority, without `@`: userinfo in a request is refused (RFC 9110 §4.2.4). */
const IS_HOST = new Uint8Array(256)
for (const character of "!$%&'()*+,-.:;=[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  IS_HOST[character.charCodeAt(0)] = 1
}

/** For each hexadecimal digit its value; 255 for all other bytes. */
export const HEX_VALUE = new Uint8Array(256).fill(255)
for (let digit = 0; digit < 16; digit++) {
  HEX_VALUE[digit.toString(16).charCodeAt(0)] = digit
  HEX_VALUE[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

/** The port after the last colon outside brackets is digits or empty; the rest is host characters. */
export function isAuthority(text: string): boolean {
  let colon = -1
  let bracket = -1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || IS_HOST[code] === 0) return false
    if (code === COLON) {
      // More than one colon is an address of IPv6, which needs its brackets.
      if (colon > bracket && text.charCodeAt(0) !== BRACKET) return false
      colon = i
    } else if (code === BRACKET) {
      if (i !== 0) return false
    } else if (code === CLOSING_BRACKET) {
      if (bracket >= 0 || text.charCodeAt(0) !== BRACKET) return false
      bracket = i
    }
  }
  if (text.charCodeAt(0) === BRACKET) {
    if (bracket < 0) return false
    if (bracket === text.length - 1) return true
    if (text.charCodeAt(bracket + 1) !== COLON) return false
    return isPort(text, bracket + 2)
  }
  return colon < 0 || isPort(text, colon + 1)
}

function isPort(text: string, from: number): boolean {
  let port = 0
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
    if (port > 65535) return false
  }
  return true
}

const COLON = 0x3a
const BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
