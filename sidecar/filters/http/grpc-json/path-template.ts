/**
 * Paths of `google.api.http` rules: what matches them, and which fields their segments fill.
 *
 *   /v1/{name=shelves/*}/books/{book.id}:publish
 *       └─ variable of two segments ─┘   └─ of one ─┘ └─ verb
 *
 * `*` stands for one segment, `**` for all that follow. Of several templates that match, the one that is literal further
 * to the left wins, as in Envoy. Look-up walks a tree, so that its cost depends on the path and not on the number of rules.
 */

/** Which escapes of a variable of several segments are undone; those of one segment all are. */
export type UnescapeSpec = 'ALL_CHARACTERS_EXCEPT_RESERVED' | 'ALL_CHARACTERS_EXCEPT_SLASH' | 'ALL_CHARACTERS'

export interface Binding {
  readonly path: readonly string[]
  readonly value: string
}

interface Variable {
  readonly path: readonly string[]
  readonly from: number
  /** One past its last segment; -1 where it reaches to the end of the path. */
  readonly to: number
  readonly multiple: boolean
}

interface Template {
  readonly segments: readonly string[]
  readonly verb: string
  readonly variables: readonly Variable[]
}

interface Leaf<T> {
  readonly variables: readonly Variable[]
  readonly value: T
}

interface Node<T> {
  readonly children: Map<string, Node<T>>
  /** By method and verb, `GET publish`. */
  readonly leaves: Map<string, Leaf<T>>
}

const node = <T>(): Node<T> => ({ children: new Map(), leaves: new Map() })

/** Paths longer than this are no match: they would make the walk expensive. */
const MAX_SEGMENTS = 256

export class PathMatcher<T> {
  readonly #root: Node<T> = node()
  readonly #verbs = new Set<string>()
  readonly #unescape: UnescapeSpec
  readonly #anyVerb: boolean

  constructor(spec: UnescapeSpec, matchUnregisteredVerb: boolean) {
    this.#unescape = spec
    this.#anyVerb = matchUnregisteredVerb
  }

  /** False where the template is malformed. A second rule for the same place replaces nothing: the first counts. */
  add(method: string, template: string, value: T): boolean {
    const parsed = parseTemplate(template)
    if (parsed === undefined) return false
    let at = this.#root
    for (const segment of parsed.segments) {
      let next = at.children.get(segment)
      if (next === undefined) {
        next = node()
        at.children.set(segment, next)
      }
      at = next
    }
    if (parsed.verb !== '') this.#verbs.add(parsed.verb)
    const key = `${method} ${parsed.verb}`
    if (!at.leaves.has(key)) at.leaves.set(key, { variables: parsed.variables, value })
    return true
  }

  /** `path` is without its query. */
  match(method: string, path: string): { readonly value: T; readonly bindings: readonly Binding[] } | undefined {
    if (path[0] !== '/') return undefined
    let rest = path.slice(1)
    let verb = ''
    const colon = rest.lastIndexOf(':')
    if (colon > rest.lastIndexOf('/')) {
      const candidate = rest.slice(colon + 1)
      if (this.#anyVerb || this.#verbs.has(candidate)) {
        verb = candidate
        rest = rest.slice(0, colon)
      }
    }
    const segments = rest === '' ? [] : rest.split('/')
    if (segments.length > MAX_SEGMENTS) return undefined
    const leaf = this.#walk(this.#root, segments, 0, `${method} ${verb}`)
    if (leaf === undefined) return undefined
    const bindings = leaf.variables.map(({ path, from, to, multiple }) => ({
      path,
      value: segments
        .slice(from, to < 0 ? segments.length + 1 + to : to)
        .map(segment => unescaped(segment, multiple ? this.#unescape : 'ALL_CHARACTERS'))
        .join('/'),
    }))
    return { value: leaf.value, bindings }
  }

  #walk(at: Node<T>, segments: readonly string[], index: number, key: string): Leaf<T> | undefined {
    if (index === segments.length) {
      return at.leaves.get(key) ?? at.children.get('**')?.leaves.get(key)
    }
    const literal = at.children.get(segments[index]!)
    const found = literal === undefined ? undefined : this.#walk(literal, segments, index + 1, key)
    if (found !== undefined) return found
    const any = segments[index] === '' ? undefined : at.children.get('*')
    return (
      (any === undefined ? undefined : this.#walk(any, segments, index + 1, key)) ??
      at.children.get('**')?.leaves.get(key)
    )
  }
}

/** Undefined where the template is malformed. `**` may stand only at the end. */
function parseTemplate(template: string): Template | undefined {
  const parts = /^\/((?:[^{}]|\{[^{}]*\})*)$/.exec(template)
  if (parts === null) return undefined
  let text = parts[1]!
  let verb = ''
  const colon = text.lastIndexOf(':')
  if (colon > Math.max(text.lastIndexOf('/'), text.lastIndexOf('}') - 1)) {
    verb = text.slice(colon + 1)
    text = text.slice(0, colon)
  }
  const segments: string[] = []
  const variables: Variable[] = []
  const pieces = text === '' ? [] : (text.match(/\{[^{}]*\}|[^/{}]+/g) ?? [])
  if (pieces.join('/') !== text) return undefined
  for (const piece of pieces) {
    if (piece[0] !== '{') {
      if (piece.includes('=')) return undefined
      segments.push(piece)
      continue
    }
    const variable = /^\{([A-Za-z_][\w.]*)(?:=(.+))?\}$/.exec(piece)
    if (variable === null) return undefined
    const own = (variable[2] ?? '*').split('/')
    if (own.includes('')) return undefined
    const from = segments.length
    segments.push(...own)
    const open = own.at(-1) === '**'
    const multiple = own.length > 1 || open
    variables.push({ path: variable[1]!.split('.'), from, to: open ? -1 : segments.length, multiple })
  }
  const deep = segments.indexOf('**')
  if (deep >= 0 && deep < segments.length - 1) return undefined
  return { segments, verb, variables }
}

/** RFC 3986 §2.2, reserved. */
const RESERVED = "!#$&'()*+,/:;=?@[]"

/** What is no escape stands for itself. Bytes beyond ASCII are UTF-8. */
export function unescaped(text: string, spec: UnescapeSpec): string {
  if (!text.includes('%')) return text
  const bytes = text.replace(/%([0-9A-Fa-f]{2})/g, (whole, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16))
    if (spec === 'ALL_CHARACTERS_EXCEPT_RESERVED' && RESERVED.includes(char)) return whole
    return spec === 'ALL_CHARACTERS_EXCEPT_SLASH' && char === '/' ? whole : char
  })
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** The bindings of a query, without those named in `ignored`. A name without `=` is none, as in Envoy. */
export function queryBindings(query: string, ignored: ReadonlySet<string>, plusIsBlank: boolean): Binding[] {
  const bindings: Binding[] = []
  for (const part of query.split('&')) {
    const equals = part.indexOf('=')
    if (equals <= 0) continue
    const name = part.slice(0, equals)
    if (ignored.has(name)) continue
    const raw = part.slice(equals + 1)
    bindings.push({
      path: name.split('.'),
      value: unescaped(plusIsBlank ? raw.replaceAll('+', ' ') : raw, 'ALL_CHARACTERS'),
    })
  }
  return bindings
}
