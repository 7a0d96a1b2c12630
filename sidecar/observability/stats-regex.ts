/**
 * Patterns that come from a configuration or an admin query, in RE2's syntax and with its guarantee: matching time grows
 * with the text only, never exponentially. The engine (`re2js`, 7.5 MB) is loaded with the first pattern.
 */
import type { RE2JS as Engine } from 're2js'
import { requirePackage } from '../base/package-root.ts'

/** A wrong pattern, in the words RE2 has for it (`missing ): (`). */
export class PatternError extends Error {
  override name = 'PatternError'
}

/** Two groups of a match, with the place of the first: what a tag regex captures. */
export interface PatternGroups {
  readonly start: number
  readonly end: number
  readonly first: string
  readonly second: string | undefined
}

export class Pattern {
  readonly source: string
  readonly #compiled: Engine

  /** Throws {@link PatternError}. */
  constructor(source: string) {
    const { RE2JS } = requirePackage('re2js') as typeof import('re2js')
    this.source = source
    try {
      this.#compiled = RE2JS.compile(source)
    } catch (error) {
      // re2js: "error parsing regexp: missing closing ): `(`"; RE2 itself: "missing ): (".
      const text = error instanceof Error ? error.message : String(error)
      const bare = text.replace(/^error parsing regexp: /, '').replace('missing closing )', 'missing )')
      throw new PatternError(bare.replace(/: `(.*)`$/s, ': $1'))
    }
  }

  /** True when the pattern is found anywhere in `text`. */
  found(text: string): boolean {
    return this.#compiled.matcher(text).find()
  }

  /** True when the pattern covers the whole of `text` (Envoy's `safe_regex`). */
  covers(text: string): boolean {
    return this.#compiled.matches(text)
  }

  /** The first match's groups 1 and 2; undefined when nothing or no group 1 matched. */
  groups(text: string): PatternGroups | undefined {
    const matcher = this.#compiled.matcher(text)
    if (!matcher.find() || matcher.groupCount() < 1) return undefined
    const first = matcher.group(1)
    if (first === null) return undefined
    const second = matcher.groupCount() > 1 ? matcher.group(2) : null
    return { start: matcher.start(1), end: matcher.end(1), first, second: second ?? undefined }
  }
}
