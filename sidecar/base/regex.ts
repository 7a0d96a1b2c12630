/**
 * Regular expressions with RE2's syntax and semantics (leftmost-first, linear time), which is what Envoy's
 * configuration is written in: re2js decides what is a pattern and what it matches. Patterns that are proven to mean
 * the same and to stay linear there (`simple-pattern.ts`) run on RegExp when the text is ASCII, at a tenth of the cost
 * (`test/bench/route-match.bench.ts`).
 *
 * Header values and paths are strings whose characters are bytes; the `…Bytes` methods take those, and see UTF-8 in
 * them as RE2 does.
 */
import type { RE2JS } from 're2js'
import { requirePackage } from './package-root.ts'
import { simplePattern } from './simple-pattern.ts'

/** The text is not a pattern, or a pattern that is too large. */
export class RegexError extends Error {
  override name = 'RegexError'
}

/** Envoy's limit on a compiled pattern (runtime key `re2.max_program_size.error_level`). */
export const DEFAULT_MAX_PROGRAM_SIZE = 100

export class Regex {
  readonly pattern: string
  /** How large RE2's program is, about; Envoy refuses or warns by it. */
  readonly programSize: number
  readonly groupCount: number
  readonly #re2: RE2JS
  /** For matches of the whole text. */
  readonly #whole: RegExp | undefined
  /** For searches. */
  readonly #search: RegExp | undefined

  private constructor(pattern: string, re2: RE2JS) {
    this.pattern = pattern
    this.programSize = re2.programSize()
    this.groupCount = re2.groupCount()
    this.#re2 = re2
    const simple = simplePattern(pattern)
    this.#whole = simple && new RegExp(`^(?:${simple.source})$`)
    // The outermost group captures nothing, so groups have the numbers that the pattern gives them.
    this.#search = simple?.searchable ? new RegExp(simple.source, 'g') : undefined
  }

  /** Throws {@link RegexError} for what RE2 would not take. */
  static compile(pattern: string): Regex {
    // Loaded with the first pattern: 5 MB, and most configurations have none.
    const { RE2JS } = requirePackage('re2js') as typeof import('re2js')
    let re2: RE2JS
    try {
      re2 = RE2JS.compile(pattern)
    } catch (error) {
      throw new RegexError((error as Error).message.replace(/^error parsing regexp: /, ''))
    }
    return new Regex(pattern, re2)
  }

  /** Whether RegExp does the matching; for tests and for diagnosis. */
  get isSimple(): boolean {
    return this.#whole !== undefined
  }

  /** Whether the whole of `text` matches. */
  matches(text: string): boolean {
    if (this.#whole !== undefined && isAscii(text)) return this.#whole.test(text)
    return this.#re2.testExact(text)
  }

  /** The same for a string of bytes. */
  matchesBytes(bytes: string): boolean {
    if (isAscii(bytes)) return this.#whole !== undefined ? this.#whole.test(bytes) : this.#re2.testExact(bytes)
    return this.#re2.testExact(Buffer.from(bytes, 'latin1'))
  }

  /** Replaces every match, as `RE2::GlobalReplace` does. */
  replaceAll(text: string, substitution: Substitution): string {
    // RE2 replaces nothing when the substitution names a group that is not there.
    if (substitution.maxGroup > this.groupCount) return text
    let out = ''
    let at = 0
    let lastEnd = -1
    let replaced = false
    const find = this.#search !== undefined && isAscii(text) ? this.#search : undefined
    while (at <= text.length) {
      const match = find !== undefined ? execAt(find, text, at) : this.#findAt(text, at)
      if (match === undefined) break
      const [start, end, groups] = match
      out += text.slice(at, start)
      if (start === end && start === lastEnd) {
        // RE2 takes no empty match right behind the last one; JavaScript does.
        const next = start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
        out += text.slice(start, next)
        at = next
        continue
      }
      out += substitution.expand(groups)
      at = lastEnd = end
      replaced = true
    }
    return replaced ? out + text.slice(at) : text
  }

  /** The same for a string of bytes. */
  replaceAllBytes(bytes: string, substitution: Substitution): string {
    if (isAscii(bytes)) return textToBytes(this.replaceAll(bytes, substitution))
    return textToBytes(this.replaceAll(bytesToText(bytes), substitution))
  }

  #findAt(text: string, from: number): Match | undefined {
    const matcher = this.#re2.matcher(text)
    if (!matcher.find(from)) return undefined
    const groups: (string | undefined)[] = []
    for (let group = 0; group <= this.groupCount; group++) groups.push(matcher.group(group) ?? undefined)
    return [matcher.start(), matcher.end(), groups]
  }
}

type Match = readonly [start: number, end: number, groups: readonly (string | undefined)[]]

function execAt(regexp: RegExp, text: string, from: number): Match | undefined {
  regexp.lastIndex = from
  const match = regexp.exec(text)
  return match === null ? undefined : [match.index, match.index + match[0].length, match]
}

/** What matches are replaced by, in RE2's notation: `\0` the match, `\1` to `\9` its groups, `\\` a backslash. */
export class Substitution {
  readonly maxGroup: number
  /** Why the text is not a substitution, or undefined; like RE2, {@link expand} then stops at the mistake. */
  readonly mistake: string | undefined
  readonly #parts: readonly (string | number)[]

  constructor(text: string) {
    const parts: (string | number)[] = []
    let literal = ''
    let mistake: string | undefined
    for (let i = 0; i < text.length; i++) {
      const char = text[i]!
      if (char !== '\\') {
        literal += char
        continue
      }
      const next = text[++i]
      if (next === '\\') literal += '\\'
      else if (next !== undefined && next >= '0' && next <= '9') {
        if (literal !== '') parts.push(literal)
        literal = ''
        parts.push(Number(next))
      } else {
        mistake = next === undefined ? 'ends with a single backslash' : `"\\${next}" is neither a group nor "\\\\"`
        break
      }
    }
    if (literal !== '') parts.push(literal)
    this.#parts = parts
    this.mistake = mistake
    this.maxGroup = parts.reduce((max: number, part) => (typeof part === 'number' ? Math.max(max, part) : max), 0)
  }

  expand(groups: readonly (string | undefined)[]): string {
    let out = ''
    for (const part of this.#parts) out += typeof part === 'string' ? part : (groups[part] ?? '')
    return out
  }
}

/** Whether all characters are ASCII; then text and bytes are the same string. */
export function isAscii(text: string): boolean {
  return !NON_ASCII.test(text)
}

/** The UTF-8 of `text`, one character a byte: the form header values have. */
export function textToBytes(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

export function bytesToText(bytes: string): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8')
}

const NON_ASCII = /[^\0-\x7f]/
