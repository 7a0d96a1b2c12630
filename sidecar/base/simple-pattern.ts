/**
 * Which RE2 patterns may run on JavaScript's RegExp: those whose meaning is the same in both on ASCII text, and which
 * RegExp, though it backtracks, finishes in linear time on any text.
 *
 * The pattern is parsed into a small subset of RE2's grammar: literals, classes, dot, groups, alternation and
 * quantifiers, the latter on single characters only (`?` on groups as well), anchors at the ends only, and `(?i)` at
 * the very start. Anything else is not simple, which only means slower. The RegExp is then written anew from the parsed
 * sets of characters, so that no class, escape or dot can mean one thing here and another there.
 *
 * Why backtracking stays linear: a repeated set that cannot match what may follow it has no second way to match, so
 * giving characters back fails at once. A repeated set that can overlap with what follows (`.*\.png`) may be tried at
 * every length, so nothing unbounded may come after it. Choices that overlap multiply; their product is bounded.
 */

/** Characters 0 to 127, and at {@link END} whether the end of the text is meant. */
type CharSet = Uint8Array

const END = 128
/** How many ways overlapping choices (`(a|ab)`, `a?a`) may multiply to. */
const MAX_CHOICES = 64

type Node =
  | { readonly kind: 'set'; readonly set: CharSet }
  | { readonly kind: 'sequence'; readonly items: readonly Node[] }
  | { readonly kind: 'choice'; readonly branches: readonly Node[]; readonly capture: boolean }
  | { readonly kind: 'repeat'; readonly item: Node; readonly min: number; readonly max: number; readonly lazy: boolean }
  | { readonly kind: 'begin' }
  | { readonly kind: 'end' }

export interface SimplePattern {
  /** Source of the RegExp; without anchors of its own. */
  readonly source: string
  /** Searching from every position of a text is linear too, not only a match of the whole. */
  readonly searchable: boolean
}

/** The pattern for RegExp, or undefined where it is not proven simple. The pattern must be one that RE2 accepts. */
export function simplePattern(pattern: string): SimplePattern | undefined {
  try {
    const foldCase = pattern.startsWith('(?i)')
    const root = new Parser(foldCase ? pattern.slice(4) : pattern, foldCase).parse()
    const analysis = new Analysis()
    const { first } = analysis.visit(
      root,
      setOf(c => c === END),
      false,
    )
    if (analysis.choices > MAX_CHOICES) return undefined
    const anchored = root.kind === 'choice' && root.branches.every(startsAnchored)
    const searchable = anchored || analysis.unbounded.every(set => !overlap(set, first))
    return { source: write(root), searchable }
  } catch (error) {
    if (error instanceof NotSimple) return undefined
    throw error
  }
}

class NotSimple extends Error {}

class Parser {
  readonly #text: string
  readonly #foldCase: boolean
  #at = 0

  constructor(text: string, foldCase: boolean) {
    this.#text = text
    this.#foldCase = foldCase
  }

  parse(): Node {
    const root = this.#choice(false, 0)
    if (this.#at < this.#text.length) throw new NotSimple()
    return root
  }

  #choice(capture: boolean, depth: number): Node {
    if (depth > 20) throw new NotSimple()
    const branches = [this.#sequence(depth)]
    while (this.#take('|')) branches.push(this.#sequence(depth))
    return { kind: 'choice', branches, capture }
  }

  #sequence(depth: number): Node {
    const items: Node[] = []
    while (this.#at < this.#text.length && !'|)'.includes(this.#text[this.#at]!)) {
      const item = this.#atom(depth)
      // Anchors in other places would make what may follow harder to tell.
      if (item.kind === 'begin' && (items.length > 0 || depth > 0)) throw new NotSimple()
      if (items.at(-1)?.kind === 'end' || (item.kind === 'end' && depth > 0)) throw new NotSimple()
      items.push(this.#quantified(item))
    }
    return { kind: 'sequence', items }
  }

  #atom(depth: number): Node {
    const char = this.#text[this.#at++]!
    switch (char) {
      case '^':
        return { kind: 'begin' }
      case '$':
        return { kind: 'end' }
      case '.':
        return { kind: 'set', set: setOf(c => c < END && c !== NEWLINE) }
      case '[':
        return { kind: 'set', set: this.#class() }
      case '(':
        return this.#group(depth)
      case '\\':
        return { kind: 'set', set: this.#escape() }
      case '*':
      case '+':
      case '?':
      case '{':
      case '}':
      case ']':
        throw new NotSimple()
      default:
        return { kind: 'set', set: this.#literal(char) }
    }
  }

  #group(depth: number): Node {
    let capture = true
    if (this.#take('?:')) capture = false
    else if (this.#take('?')) {
      const name = /^P?<[A-Za-z_]\w*>/.exec(this.#text.slice(this.#at))
      if (name === null) throw new NotSimple()
      this.#at += name[0].length
    }
    const body = this.#choice(capture, depth + 1)
    if (!this.#take(')')) throw new NotSimple()
    return body
  }

  #quantified(item: Node): Node {
    const quantifier = /^(?:[*+?]|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})/.exec(this.#text.slice(this.#at))
    if (quantifier === null) return item
    if (item.kind === 'begin' || item.kind === 'end') throw new NotSimple()
    this.#at += quantifier[0].length
    const [mark, from, comma, to] = quantifier
    const min = from !== undefined ? Number(from) : mark === '+' ? 1 : 0
    const max = from !== undefined ? (comma === undefined ? min : Number(to ?? Infinity)) : mark === '?' ? 1 : Infinity
    if (item.kind !== 'set' && !(min === 0 && max === 1)) throw new NotSimple()
    const lazy = this.#take('?')
    if (/^[*+?{]/.test(this.#text.slice(this.#at))) throw new NotSimple()
    return { kind: 'repeat', item, min, max, lazy }
  }

  #class(): CharSet {
    const negated = this.#take('^')
    const set = new Uint8Array(END + 1)
    if (this.#text[this.#at] === ']') throw new NotSimple()
    while (!this.#take(']')) {
      const low = this.#classItem()
      if (this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']') {
        this.#at++
        const high = this.#classItem()
        const from = only(low)
        const to = only(high)
        if (from === undefined || to === undefined || from > to) throw new NotSimple()
        for (let c = from; c <= to; c++) add(set, this.#folded(c))
      } else {
        add(set, low)
      }
    }
    if (!negated) return set
    return setOf(c => c < END && set[c] === 0)
  }

  /** One member of a class. A single character is not folded yet: it may begin a range. */
  #classItem(): CharSet {
    const char = this.#text[this.#at++]
    if (char === undefined || char === '[') throw new NotSimple()
    if (char === '\\') return this.#escape()
    const code = char.charCodeAt(0)
    if (code >= END) throw new NotSimple()
    // Before a range the bare character is needed; its fold comes with the range.
    return this.#text[this.#at] === '-' ? setOf(c => c === code) : this.#folded(code)
  }

  #escape(): CharSet {
    const char = this.#text[this.#at++]
    switch (char) {
      case 'd':
        return setOf(isDigit)
      case 'D':
        return setOf(c => c < END && !isDigit(c))
      case 'w':
        return setOf(isWord)
      case 'W':
        return setOf(c => c < END && !isWord(c))
      case 's':
        return setOf(isSpace)
      case 'S':
        return setOf(c => c < END && !isSpace(c))
      case undefined:
        throw new NotSimple()
      default:
        // Letters and digits after a backslash mean something; only punctuation stands for itself.
        if (/[\dA-Za-z]/.test(char)) throw new NotSimple()
        return this.#literal(char)
    }
  }

  #literal(char: string): CharSet {
    const code = char.charCodeAt(0)
    if (code >= END) throw new NotSimple()
    return this.#folded(code)
  }

  #folded(code: number): CharSet {
    const lower = String.fromCharCode(code).toLowerCase().charCodeAt(0)
    const upper = String.fromCharCode(code).toUpperCase().charCodeAt(0)
    return setOf(c => c === code || (this.#foldCase && (c === lower || c === upper)))
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }
}

/** Walks the pattern from its end, knowing at each place what may come next. */
class Analysis {
  choices = 1
  readonly unbounded: CharSet[] = []

  /** `follow`: what may come after the node; `unboundedAfter`: whether an unbounded repetition does. */
  visit(node: Node, follow: CharSet, unboundedAfter: boolean): { first: CharSet; unbounded: boolean } {
    switch (node.kind) {
      case 'set':
        return { first: node.set, unbounded: unboundedAfter }
      case 'begin':
        return { first: follow, unbounded: unboundedAfter }
      case 'end':
        return { first: setOf(c => c === END), unbounded: unboundedAfter }
      case 'sequence': {
        let state = { first: follow, unbounded: unboundedAfter }
        for (const item of node.items.toReversed()) state = this.visit(item, state.first, state.unbounded)
        return state
      }
      case 'choice':
        return this.#choice(node.branches, follow, unboundedAfter)
      case 'repeat':
        return this.#repeat(node, follow, unboundedAfter)
    }
  }

  #choice(branches: readonly Node[], follow: CharSet, unboundedAfter: boolean): { first: CharSet; unbounded: boolean } {
    const first = new Uint8Array(END + 1)
    let unbounded = false
    let ambiguous = false
    for (const branch of branches) {
      const state = this.visit(branch, follow, unboundedAfter)
      ambiguous ||= overlap(first, state.first)
      unbounded ||= state.unbounded
      add(first, state.first)
    }
    if (ambiguous) this.choices *= branches.length
    return { first, unbounded }
  }

  #repeat(
    node: Node & { kind: 'repeat' },
    follow: CharSet,
    unboundedAfter: boolean,
  ): { first: CharSet; unbounded: boolean } {
    const { item, min, max } = node
    if (item.kind !== 'set') {
      // JavaScript gives up a turn of a repetition that matched nothing and tries the next branch (ECMA-262,
      // RepeatMatcher); RE2 takes it: `(|b)?` on "b".
      if (canBeEmpty(item)) throw new NotSimple()
      return this.#choice([item, { kind: 'sequence', items: [] }], follow, unboundedAfter)
    }
    const ambiguous = overlap(item.set, follow)
    if (max === Infinity) {
      if (ambiguous && unboundedAfter) throw new NotSimple()
      this.unbounded.push(item.set)
    } else if (ambiguous) {
      this.choices *= max - min + 1
    }
    const first = setOf(c => item.set[c] === 1 || (min === 0 && follow[c] === 1))
    return { first, unbounded: unboundedAfter || max === Infinity }
  }
}

function canBeEmpty(node: Node): boolean {
  switch (node.kind) {
    case 'set':
      return false
    case 'begin':
    case 'end':
      return true
    case 'sequence':
      return node.items.every(canBeEmpty)
    case 'choice':
      return node.branches.some(canBeEmpty)
    case 'repeat':
      return node.min === 0 || canBeEmpty(node.item)
  }
}

function startsAnchored(branch: Node): boolean {
  return branch.kind === 'sequence' && branch.items[0]?.kind === 'begin'
}

function write(node: Node): string {
  switch (node.kind) {
    case 'set':
      return writeSet(node.set)
    case 'begin':
      return '^'
    case 'end':
      return '$'
    case 'sequence':
      return node.items.map(write).join('')
    case 'choice':
      return `(${node.capture ? '' : '?:'}${node.branches.map(write).join('|')})`
    case 'repeat': {
      const { min, max } = node
      return `${write(node.item)}{${min},${max === Infinity ? '' : max}}${node.lazy ? '?' : ''}`
    }
  }
}

function writeSet(set: CharSet): string {
  let ranges = ''
  for (let c = 0; c < END; c++) {
    if (set[c] === 0) continue
    const from = c
    while (c + 1 < END && set[c + 1] === 1) c++
    ranges += from === c ? hex(from) : `${hex(from)}-${hex(c)}`
  }
  return `[${ranges}]`
}

function hex(code: number): string {
  return `\\x${code.toString(16).padStart(2, '0')}`
}

const NEWLINE = 10

function setOf(member: (code: number) => boolean): CharSet {
  return Uint8Array.from({ length: END + 1 }, (_, code) => (member(code) ? 1 : 0))
}

function add(set: CharSet, other: CharSet): void {
  for (let c = 0; c <= END; c++) if (other[c] === 1) set[c] = 1
}

function overlap(a: CharSet, b: CharSet): boolean {
  return a.some((member, code) => member === 1 && b[code] === 1)
}

/** The only member of a set, or undefined. */
function only(set: CharSet): number | undefined {
  const code = set.indexOf(1)
  return code >= 0 && code < END && set.indexOf(1, code + 1) < 0 ? code : undefined
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57
}

function isWord(c: number): boolean {
  return isDigit(c) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95
}

/** RE2's `\s` has no vertical tab; JavaScript's has. */
function isSpace(c: number): boolean {
  return c === 9 || c === 10 || c === 12 || c === 13 || c === 32
}
