/**
 * An index over the routes of a virtual host, so that a table of a thousand is not scanned for each request. The answer
 * is the one the scan would give: the first route, in order of configuration, that matches.
 *
 * Routes whose path condition is a plain prefix, path or separated prefix hang in a radix tree, at the node where their
 * text ends. One walk along the request's path meets every route whose path condition holds; of these the first whose
 * other conditions hold is kept. What is not in the tree (regexes, templates, case-insensitive paths, CONNECT) is then
 * tried in order, as far as it stands before the route found.
 *
 * Measured in `test/bench/route-match.bench.ts`: with 50 prefixes a scan takes 1.7 µs and the walk 0.17 µs, with 1,000
 * 30 µs and 0.5 µs; from four routes on the walk is the quicker one.
 */
import type { CompiledRoute } from './compiled-route.ts'
import type { MatchInput } from './match-input.ts'

interface Node {
  /** What the path must go on with from the parent to here. */
  label: string
  /** Whether any route's text ends here. */
  holdsRoutes: boolean
  /** First characters of the children's labels, and the children, at the same positions. */
  readonly codes: number[]
  readonly children: Node[]
  /** Positions of routes whose text ends here, ascending. */
  readonly prefix: number[]
  readonly exact: number[]
  readonly separated: number[]
}

function newNode(label: string): Node {
  return { label, holdsRoutes: false, codes: [], children: [], prefix: [], exact: [], separated: [] }
}

export class RouteIndex {
  readonly #routes: readonly CompiledRoute[]
  readonly #root = newNode('')
  /** Positions of the routes that the tree does not hold. */
  readonly #others: readonly number[]

  constructor(routes: readonly CompiledRoute[]) {
    this.#routes = routes
    const others: number[] = []
    routes.forEach((route, position) => {
      const indexed = route.match.path.indexed
      if (indexed === undefined) others.push(position)
      else {
        const node = this.#nodeFor(indexed.text)
        node[indexed.kind].push(position)
        node.holdsRoutes = true
      }
    })
    this.#others = others
  }

  find(input: MatchInput): CompiledRoute | undefined {
    const routes = this.#routes
    let best = input.headers.path === '' ? routes.length : this.#walk(input)
    for (const position of this.#others) {
      if (position > best) break
      if (routes[position]!.match.matches(input)) {
        best = position
        break
      }
    }
    return routes[best]
  }

  /** Position of the first route in the tree that matches, or the number of routes. */
  #walk(input: MatchInput): number {
    const path = input.headers.path
    const length = path.length
    let best = this.#routes.length
    let node = this.#root
    let at = 0
    for (;;) {
      const code = at < length ? path.charCodeAt(at) : -1
      const ends = code < 0 || input.endsPath(code)
      if (node.holdsRoutes) {
        best = this.#first(node.prefix, input, best)
        if (ends) best = this.#first(node.exact, input, best)
        if (ends || code === SLASH) best = this.#first(node.separated, input, best)
      }
      if (ends) return best
      const child = childOf(node, code)
      if (child === undefined || !continues(path, at, child.label)) return best
      at += child.label.length
      node = child
    }
  }

  /** The first of these positions, before `best`, whose conditions hold; else `best`. */
  #first(positions: readonly number[], input: MatchInput, best: number): number {
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i]!
      if (position >= best) return best
      if (this.#routes[position]!.match.conditionsHold(input)) return position
    }
    return best
  }

  #nodeFor(text: string): Node {
    let node = this.#root
    let at = 0
    while (at < text.length) {
      const slot = node.codes.indexOf(text.charCodeAt(at))
      if (slot < 0) {
        const leaf = newNode(text.slice(at))
        node.codes.push(text.charCodeAt(at))
        node.children.push(leaf)
        return leaf
      }
      const child = node.children[slot]!
      const shared = sharedLength(child.label, text, at)
      if (shared < child.label.length) {
        const middle = newNode(child.label.slice(0, shared))
        child.label = child.label.slice(shared)
        middle.codes.push(child.label.charCodeAt(0))
        middle.children.push(child)
        node.children[slot] = middle
        node = middle
      } else node = child
      at += shared
    }
    return node
  }
}

const SLASH = 0x2f

// Loops rather than `indexOf` and `startsWith`: the texts are short, and the calls would cost most of the walk.

function childOf(node: Node, code: number): Node | undefined {
  const { codes } = node
  for (let i = 0; i < codes.length; i++) if (codes[i] === code) return node.children[i]
  return undefined
}

/** Whether `path` goes on with `label` at a place whose first character is known to be right. */
function continues(path: string, at: number, label: string): boolean {
  const { length } = label
  if (at + length > path.length) return false
  for (let i = 1; i < length; i++) if (path.charCodeAt(at + i) !== label.charCodeAt(i)) return false
  return true
}

function sharedLength(label: string, text: string, at: number): number {
  let length = 0
  while (length < label.length && label.charCodeAt(length) === text.charCodeAt(at + length)) length++
  return length
}
