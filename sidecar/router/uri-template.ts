/**
 * Paths as templates (Envoy: `envoy.path.match.uri_template`, `envoy.path.rewrite.uri_template`):
 * `/videos/{id}/{rest=**}`.
 *
 * A segment is text, `*` (one segment), `**` (any number of segments) or a variable, `{name}` for `{name=*}`, or
 * `{name=pattern}` with any of these; text may stand before and after a variable (`v{id}.json`), and behind the
 * operator of the last segment (`**.m3u8`). After `**` comes no other operator. The grammar is that of Envoy 1.40,
 * measured, down to a star within text, which repeats the character before it.
 */
import { Regex } from '../base/regex.ts'
import { ConfigError } from '../filter-chain/http-filter.ts'
import { quote } from './string-matcher.ts'

/** Characters of a segment (RFC 3986 §3.3). */
const SEGMENT = "a-zA-Z0-9-._~%!$&'()+,;:@=*"
const ONE_SEGMENT = `[${SEGMENT}]+`
const MANY_SEGMENTS = `[${SEGMENT}/]*`
const LITERAL = new RegExp(`^[${SEGMENT}]+$`)
const REWRITE_LITERAL = new RegExp(`^[${SEGMENT}/]+$`)
const NAME = /^[a-zA-Z][a-zA-Z0-9_]*$/
const MAX_VARIABLES = 5
const MAX_NAME_LENGTH = 16

export class UriTemplate {
  readonly pattern: string
  readonly variables: readonly string[]
  readonly #regex: Regex
  /** One capturing group a variable, in the order of {@link variables}. */
  readonly #groups: RegExp

  private constructor(pattern: string, variables: readonly string[], source: string) {
    this.pattern = pattern
    this.variables = variables
    this.#regex = Regex.compile(source)
    this.#groups = new RegExp(`^(?:${source})$`)
  }

  /** Throws `ConfigError` or `RegexError` for what is no template. */
  static parse(pattern: string): UriTemplate {
    if (!pattern.startsWith('/')) throw new ConfigError('', 'must begin with "/"')
    const parser = new TemplateParser()
    const source = parser.source(pattern.slice(1))
    return new UriTemplate(pattern, parser.variables, source)
  }

  matches(path: string): boolean {
    return this.#regex.matchesBytes(path)
  }

  /** The values of the variables, or undefined where the path does not match. */
  values(path: string): ReadonlyMap<string, string> | undefined {
    // Only what RE2 has matched, in time linear in its length, is taken apart by RegExp.
    const match = this.#regex.matchesBytes(path) ? this.#groups.exec(path) : null
    if (match === null) return undefined
    return new Map(this.variables.map((name, index) => [name, match[index + 1] ?? '']))
  }
}

/** Turns a template into the source of a regular expression. */
class TemplateParser {
  readonly variables: string[] = []
  #sawMany = false

  source(pattern: string): string {
    const segments = splitSegments(pattern)
    return segments.map((segment, index) => `/${this.#segment(segment, index === segments.length - 1)}`).join('')
  }

  #segment(segment: string, last: boolean): string {
    if (segment === '') {
      if (last) return ''
      throw new ConfigError('', 'an empty segment ("//")')
    }
    const operator = /^\*\*?/.exec(segment)?.[0]
    if (operator !== undefined) {
      const suffix = segment.slice(operator.length)
      if (suffix !== '' && !last) throw new ConfigError('', `${quote(segment)}: text behind "*" must end the template`)
      return this.#operator(operator) + optionalLiteral(suffix)
    }
    const open = segment.indexOf('{')
    if (open < 0) return literalSource(segment)
    const close = segment.indexOf('}', open)
    const variable = this.#variable(segment.slice(open + 1, close))
    return optionalLiteral(segment.slice(0, open)) + variable + optionalLiteral(segment.slice(close + 1))
  }

  #operator(operator: string): string {
    if (this.#sawMany) throw new ConfigError('', 'no other operator may follow "**"')
    this.#sawMany = operator === '**'
    return operator === '**' ? MANY_SEGMENTS : ONE_SEGMENT
  }

  #variable(text: string): string {
    const equals = text.indexOf('=')
    const name = equals < 0 ? text : text.slice(0, equals)
    if (!NAME.test(name) || name.length > MAX_NAME_LENGTH) {
      throw new ConfigError(
        '',
        `${quote(name)} is no name for a variable (a letter, then up to 15 letters, digits, "_")`,
      )
    }
    if (this.variables.includes(name)) throw new ConfigError('', `variable ${quote(name)} is given twice`)
    this.variables.push(name)
    if (this.variables.length > MAX_VARIABLES) throw new ConfigError('', `more than ${MAX_VARIABLES} variables`)
    const parts = equals < 0 ? ['*'] : text.slice(equals + 1).split('/')
    const source = parts.map(part => {
      if (part === '') throw new ConfigError('', `variable ${quote(name)} has an empty segment`)
      return part === '*' || part === '**' ? this.#operator(part) : literalSource(part)
    })
    return `(${source.join('/')})`
  }
}

function literalSource(text: string): string {
  if (!LITERAL.test(text)) throw new ConfigError('', `${quote(text)} is not valid in a path`)
  return text.replace(/[$()+.]/g, String.raw`\$&`)
}

function optionalLiteral(text: string): string {
  return text === '' ? '' : literalSource(text)
}

/** Splits at slashes outside braces. */
function splitSegments(pattern: string): string[] {
  const segments: string[] = []
  let segment = ''
  let depth = 0
  for (const char of pattern) {
    if (char === '{') depth++
    if (char === '}') depth--
    if (depth < 0 || depth > 1) throw new ConfigError('', 'braces do not match')
    if (char === '/' && depth === 0) {
      segments.push(segment)
      segment = ''
    } else segment += char
  }
  if (depth !== 0) throw new ConfigError('', 'braces do not match')
  return [...segments, segment]
}

/** A template to write paths by: `/media/{rest}/of/{id}`. */
export class UriTemplateRewrite {
  readonly #parts: readonly (string | { readonly name: string })[]

  private constructor(parts: readonly (string | { readonly name: string })[]) {
    this.#parts = parts
  }

  static parse(pattern: string, variables: readonly string[]): UriTemplateRewrite {
    if (!pattern.startsWith('/')) throw new ConfigError('', 'must begin with "/"')
    if (pattern.includes('//')) throw new ConfigError('', 'an empty segment ("//")')
    const parts = pattern
      .split(/(\{[^{}]*\})/)
      .filter(part => part !== '')
      .map(part => {
        if (part.startsWith('{') && part.endsWith('}')) {
          const name = part.slice(1, -1)
          if (variables.includes(name)) return { name }
          throw new ConfigError('', `${quote(name)} is no variable of the matched template`)
        }
        if (!REWRITE_LITERAL.test(part)) throw new ConfigError('', `${quote(part)} is not valid in a path`)
        return part
      })
    return new UriTemplateRewrite(parts)
  }

  write(values: ReadonlyMap<string, string>): string {
    let path = ''
    for (const part of this.#parts) path += typeof part === 'string' ? part : (values.get(part.name) ?? '')
    return path
  }
}
