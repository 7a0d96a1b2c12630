/**
 * Paths as templates (Envoy: `envoy.path.match.uri_template`, `envoy.path.rewrite.uri_template`): `/videos/{id}/{rest=**}`.
 * A segment is literal text, `*` (one segment), `**` (any number of segments, the last operator of the template) or a
 * variable, `{name}` for `{name=*}`, or `{name=pattern}` with any of these.
 */
import { Regex } from '../base/regex.ts'
import { ConfigError } from '../filter-chain/http-filter.ts'
import { quote } from './string-matcher.ts'

/** Characters of a segment: unreserved, percent-encoded, sub-delims without `*`, `:` and `@` (RFC 3986 §3.3). */
const SEGMENT = "a-zA-Z0-9-._~%!$&'()+,;:@="
const ONE_SEGMENT = `[${SEGMENT}]+`
const MANY_SEGMENTS = `[${SEGMENT}/]*`
const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/
const NAME = /^[a-zA-Z][a-zA-Z0-9_]*$/
const MAX_VARIABLES = 5
const MAX_NAME_LENGTH = 16
const MIN_NAME_LENGTH = 1

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

  /** Throws {@link ConfigError} for what is no template. */
  static parse(pattern: string): UriTemplate {
    if (!pattern.startsWith('/')) throw new ConfigError('', 'must begin with "/"')
    const state = { variables: [] as string[], sawMany: false }
    const source = splitSegments(pattern.slice(1))
      .map(segment => `/${segmentSource(segment, state)}`)
      .join('')
    return new UriTemplate(pattern, state.variables, source)
  }

  matches(path: string): boolean {
    return this.#regex.matchesBytes(path)
  }

  /** The values of the variables, or undefined where the path does not match. */
  values(path: string): ReadonlyMap<string, string> | undefined {
    if (!this.#regex.matchesBytes(path)) return undefined
    const match = this.#groups.exec(path)
    if (match === null) return undefined
    return new Map(this.variables.map((name, index) => [name, match[index + 1] ?? '']))
  }
}

interface TemplateState {
  readonly variables: string[]
  sawMany: boolean
}

function segmentSource(segment: string, state: TemplateState): string {
  if (segment.startsWith('{')) return variableSource(segment, state)
  return operatorSource(segment, state)
}

function operatorSource(segment: string, state: TemplateState): string {
  if (state.sawMany && segment.startsWith('*')) throw new ConfigError('', 'nothing but text may follow "**"')
  if (segment === '*') return ONE_SEGMENT
  if (segment === '**') {
    state.sawMany = true
    return MANY_SEGMENTS
  }
  // `**.m3u8`, `*.ts`: an operator may be followed by text in the same segment.
  const suffix = /^(\*\*?)(.+)$/.exec(segment)
  if (suffix !== null) throw new ConfigError('', `${quote(segment)}: "*" stands alone in its segment`)
  if (segment !== '' && !LITERAL.test(segment)) throw new ConfigError('', `${quote(segment)} is not valid in a path`)
  return segment.replace(/[$()+.]/g, String.raw`\$&`)
}

function variableSource(segment: string, state: TemplateState): string {
  if (!segment.endsWith('}')) throw new ConfigError('', `${quote(segment)}: a variable is the whole of its segment`)
  const inside = segment.slice(1, -1)
  const equals = inside.indexOf('=')
  const name = equals < 0 ? inside : inside.slice(0, equals)
  const pattern = equals < 0 ? '*' : inside.slice(equals + 1)
  if (!NAME.test(name) || name.length < MIN_NAME_LENGTH || name.length > MAX_NAME_LENGTH) {
    throw new ConfigError('', `${quote(name)} is no name for a variable (a letter, then up to 15 letters, digits, "_")`)
  }
  if (state.variables.includes(name)) throw new ConfigError('', `variable ${quote(name)} is given twice`)
  if (state.sawMany) throw new ConfigError('', 'nothing but text may follow "**"')
  state.variables.push(name)
  if (state.variables.length > MAX_VARIABLES) throw new ConfigError('', `more than ${MAX_VARIABLES} variables`)
  if (pattern === '') throw new ConfigError('', `variable ${quote(name)} has an empty pattern`)
  const slash = pattern.startsWith('/') ? '/' : ''
  const source = pattern
    .slice(slash.length)
    .split('/')
    .map(part => {
      if (part.startsWith('{')) throw new ConfigError('', 'a variable cannot hold another')
      if (part === '') throw new ConfigError('', `variable ${quote(name)} has an empty segment`)
      return operatorSource(part, state)
    })
    .join('/')
  return `(${slash}${source})`
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
      if (segment === '') throw new ConfigError('', 'an empty segment ("//")')
      segments.push(segment)
      segment = ''
    } else segment += char
  }
  if (depth !== 0) throw new ConfigError('', 'braces do not match')
  segments.push(segment)
  return segments
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
        if (!part.startsWith('{')) {
          if (/[{}]/.test(part)) throw new ConfigError('', 'braces do not match')
          if (!part.split('/').every(text => text === '' || LITERAL.test(text))) {
            throw new ConfigError('', `${quote(part)} is not valid in a path`)
          }
          return part
        }
        const name = part.slice(1, -1)
        if (!variables.includes(name))
          throw new ConfigError('', `${quote(name)} is no variable of the matched template`)
        return { name }
      })
    return new UriTemplateRewrite(parts)
  }

  write(values: ReadonlyMap<string, string>): string {
    let path = ''
    for (const part of this.#parts) path += typeof part === 'string' ? part : (values.get(part.name) ?? '')
    return path
  }
}
