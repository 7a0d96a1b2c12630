/**
 * What each byte may not be part of, as bits: the bits of a string's bytes, taken together, tell what the string may not
 * be, so that one pass over the bytes serves every later question.
 */
import { IS_TOKEN } from '../../http1/characters.ts'

export const CharacterClass = {
  /**
   * Not in a value (RFC 9113 §8.2.1 and RFC 9110 §5.5): control characters but HTAB. NUL, CR and LF are what the RFC
   * demands; the rest nghttp2, and with it Envoy, refuses too.
   */
  NotInValue: 1,
  /** Not in a name: no token, or upper case (RFC 9113 §8.2.1). */
  NotInName: 2,
  /** Not in a method: no token. */
  NotInMethod: 4,
  /** Not in a path: white space and control characters. */
  NotInPath: 8,
  /** Not in a scheme (RFC 3986 §3.1). */
  NotInScheme: 16,
  /** obs-text (RFC 9110 §5.5): not in a value where `disallow_obs_text` says so. */
  ObsText: 32,
} as const

export const CLASS_OF = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  const control = byte < 0x20 || byte === 0x7f
  const upper = byte >= 0x41 && byte <= 0x5a
  const token = IS_TOKEN[byte] === 1
  let bits = 0
  if (control && byte !== 0x09) bits |= CharacterClass.NotInValue
  if (!token || upper) bits |= CharacterClass.NotInName
  if (!token) bits |= CharacterClass.NotInMethod
  if (control || byte === 0x20) bits |= CharacterClass.NotInPath
  if (!/[A-Za-z0-9+.-]/.test(String.fromCharCode(byte))) bits |= CharacterClass.NotInScheme
  if (byte >= 0x80) bits |= CharacterClass.ObsText
  CLASS_OF[byte] = bits
}
