/** Character classes of RFC 9110 §5.6 and RFC 3986 as tables: one load per byte tells. */

const TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/** 1 or 0. */
export const IS_TOKEN = new Uint8Array(256)
for (const character of TOKEN) IS_TOKEN[character.charCodeAt(0)] = 1

/**
 * Visible ASCII. Wider than RFC 3986 on purpose, as Envoy is: URLs with `"<>\^{|}` or a back tick are on every web
 * site. White space and bytes above 126 are not: proxies have read them differently.
 */
export const IS_TARGET = new Uint8Array(256)
for (let byte = 0x21; byte <= 0x7e; byte++) IS_TARGET[byte] = 1

/**
 * What Envoy lets through in an authority, without `@`, colon and brackets: userinfo in a request is refused
 * (RFC 9110 §4.2.4), and the others have their places.
 */
const IS_HOST = new Uint8Array(256)
for (const character of "!$%&'()*+,-.;=_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  IS_HOST[character.charCodeAt(0)] = 1
}

/** For each hexadecimal digit its value; 255 for all other bytes. */
export const HEX_VALUE = new Uint8Array(256).fill(255)
for (let digit = 0; digit < 16; digit++) {
  HEX_VALUE[digit.toString(16).charCodeAt(0)] = digit
  HEX_VALUE[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

/**
 * `bytes[start, end)` is a host with an optional port (RFC 9110 §7.2): IPv6 in brackets, the port digits or empty. An empty
 * text is one, too.
 */
export function isAuthority(bytes: Buffer, start: number, end: number): boolean {
  if (start < end && bytes[start] === BRACKET) return isBracketed(bytes, start + 1, end)
  for (let i = start; i < end; i++) {
    if (IS_HOST[bytes[i]!] === 1) continue
    return bytes[i] === COLON && isPort(bytes, i + 1, end)
  }
  return true
}

/** What is in the brackets is not taken apart: who connects to it will see. */
function isBracketed(bytes: Buffer, start: number, end: number): boolean {
  let i = start
  while (i < end && (bytes[i] === COLON || IS_HOST[bytes[i]!] === 1)) i++
  if (i === start || bytes[i] !== CLOSING_BRACKET) return false
  return i + 1 === end || (bytes[i + 1] === COLON && isPort(bytes, i + 2, end))
}

function isPort(bytes: Buffer, start: number, end: number): boolean {
  let port = 0
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - 0x30
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
    if (port > 65535) return false
  }
  return true
}

const COLON = 0x3a
const BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
