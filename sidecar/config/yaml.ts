/**
 * YAML or JSON text to a tree that keeps positions.
 *
 * Parsed with the failsafe schema: every scalar stays text, and the field that receives it decides what it means. That
 * gives Envoy's dialect (`yes`, `0x1f`, `1.5s`) without guessing, and spares people the Norway problem.
 *
 * Two slips of beginners are repaired before parsing, so that the rest of the file is checked too: dashes that a word
 * processor made long, and tabs. Both stay errors; Envoy refuses them without saying why.
 */

import type { Node, Pair, Scalar } from 'yaml'
import { type Document, isAlias, isCollection, isMap, isPair, isScalar, isSeq, parseDocument, visit } from 'yaml'
import type { Problems } from './problems.ts'
import { SourceDocument } from './source.ts'
import type { ConfigNode, MapEntry, ScalarNode } from './tree.ts'
import { unreplacedVariable } from './tree.ts'

export interface ParsedText {
  readonly document: SourceDocument
  /** Undefined if the text is not YAML; what is wrong has then been reported. */
  readonly root: ConfigNode | undefined
}

export function parseText(file: string, text: string, problems: Problems): ParsedText {
  // A byte order mark is not content, but its offset counts.
  const source = text.startsWith('\uFEFF') ? ` ${text.slice(1)}` : text
  const first = parse(source)
  if (typeof first === 'string') return failed(file, source, first, problems)
  const slips = findSlips(source, first)
  if (slips.length === 0) return convert(new SourceDocument(file, source), first, problems, source)

  const original = new SourceDocument(file, source)
  for (const slip of slips)
    problems.error({ document: original, offset: slip.offset, path: '' }, 'syntax', slip.message)
  const repaired = repair(source, slips)
  if (typeof repaired.parsed === 'string') return { document: original, root: undefined }
  return convert(new SourceDocument(file, source, repaired.originalOffset), repaired.parsed, problems)
}

/** The document, or what went wrong badly enough for the parser to give up. */
function parse(text: string): Document.Parsed | string {
  try {
    return parseDocument(text, {
      schema: 'failsafe',
      uniqueKeys: false,
      strict: true,
      prettyErrors: false,
      keepSourceTokens: false,
      logLevel: 'silent',
    })
  } catch (error) {
    // The parser recurses: a hundred thousand open brackets end here.
    return error instanceof RangeError ? 'nested too deeply' : String(error)
  }
}

function failed(file: string, text: string, message: string, problems: Problems): ParsedText {
  const document = new SourceDocument(file, text)
  problems.error({ document, offset: 0, path: '' }, 'syntax', message)
  return { document, root: undefined }
}

interface Slip {
  readonly offset: number
  /** What stands there, and what is put in its place before parsing again. */
  readonly length: number
  readonly kind: 'dash' | 'tab'
  readonly message: string
}

const longDashes: Readonly<Record<string, string>> = {
  '\u2013': 'an en dash (U+2013)',
  '\u2014': 'an em dash (U+2014)',
  '\u2212': 'a minus sign (U+2212)',
  '\u2022': 'a bullet (U+2022)',
}

function findSlips(text: string, parsed: Document.Parsed): Slip[] {
  if (!/^[ \t]*[\t\u2013\u2014\u2212\u2022]/m.test(text)) return []
  const literal = literalRanges(parsed)
  const slips: Slip[] = []
  for (const match of text.matchAll(/^([ \t]*)([\u2013\u2014\u2212\u2022])?/gm)) {
    const [whole, indent = '', dash] = match
    if (whole === '' || literal.some(([from, to]) => match.index > from && match.index < to)) continue
    const content = text[match.index + whole.length]
    const blank = content === '\n' || content === '\r' || content === '#' || content === undefined
    const tab = indent.indexOf('\t')
    // The parser knows which tabs matter: those in flow collections and blank lines do not.
    if (tab >= 0 && !(blank && !dash) && tabMatters(parsed, text, match.index)) {
      const before = dash || content === '-' ? ' before a list dash' : ' in the indentation'
      slips.push({
        offset: match.index + tab,
        length: indent.length - tab,
        kind: 'tab',
        message: `a TAB stands${before}; YAML indents with spaces only`,
      })
    }
    if (dash && (content === ' ' || content === '\t' || blank)) {
      slips.push({
        offset: match.index + indent.length,
        length: 1,
        kind: 'dash',
        message: `${longDashes[dash]} stands where a list needs a hyphen: write "- " instead of "${dash} "`,
      })
    }
  }
  return slips
}

/** Block and quoted scalars: what stands in them is content, whatever it looks like. */
function literalRanges(parsed: Document.Parsed): [number, number][] {
  const ranges: [number, number][] = []
  visit(parsed, {
    Scalar(_, node) {
      if (node.type !== 'PLAIN' && node.range) ranges.push([node.range[0], node.range[1]])
    },
  })
  return ranges
}

function tabMatters(parsed: Document.Parsed, text: string, lineStart: number): boolean {
  const next = text.indexOf('\n', lineStart)
  const lineEnd = next < 0 ? text.length : next
  return parsed.errors.some(
    ({ code, pos: [from, to] }) => code === 'TAB_AS_INDENT' || (from <= lineEnd && to >= lineStart - 1),
  )
}

interface Repaired {
  readonly parsed: Document.Parsed | string
  readonly originalOffset: (offset: number) => number
}

/** How wide the author's editor showed a tab is unknown: the width that leaves the fewest errors is taken. */
function repair(text: string, slips: readonly Slip[]): Repaired {
  let best: Repaired | undefined
  let fewest = Number.POSITIVE_INFINITY
  const widths = slips.some(slip => slip.kind === 'tab') ? [4, 2, 8] : [1]
  for (const width of widths) {
    const candidate = replaceSlips(text, slips, width)
    const errors = typeof candidate.parsed === 'string' ? 1e9 : candidate.parsed.errors.length
    if (errors < fewest) {
      best = candidate
      fewest = errors
    }
  }
  return best!
}

function replaceSlips(text: string, slips: readonly Slip[], tabWidth: number): Repaired {
  const shifts: { readonly from: number; readonly by: number }[] = []
  let result = ''
  let copied = 0
  let shift = 0
  for (const { offset, length, kind } of slips) {
    const replacement = kind === 'dash' ? '-' : ' '.repeat(length * tabWidth)
    result += text.slice(copied, offset) + replacement
    copied = offset + length
    shift += replacement.length - length
    shifts.push({ from: copied + shift, by: shift })
  }
  result += text.slice(copied)
  const originalOffset = (offset: number): number => {
    let by = 0
    for (const entry of shifts) {
      if (offset < entry.from) break
      by = entry.by
    }
    return offset - by
  }
  return { parsed: parse(result), originalOffset }
}

/** `text` is what was parsed, where it is what the author wrote. */
function convert(document: SourceDocument, parsed: Document.Parsed, problems: Problems, text = ''): ParsedText {
  let broken = false
  const placeholders = new Set<number>()
  for (const error of parsed.errors) {
    // Envoy reads the first document and ignores what follows.
    if (error.code === 'MULTIPLE_DOCS') continue
    broken = true
    const offset = error.pos[0]
    const placeholder = placeholderAt(text, offset)
    // One mistake, however many errors the parser makes of it.
    if (placeholder === undefined) {
      problems.error({ document, offset, path: '' }, 'syntax', syntaxMessage(error.code, error.message))
    } else if (!placeholders.has(placeholder.offset)) {
      placeholders.add(placeholder.offset)
      problems.error({ document, offset: placeholder.offset, path: '' }, 'syntax', placeholder.message)
    }
  }
  if (broken) return { document, root: undefined }
  return { document, root: new Converter(parsed, document, problems).root() }
}

/** A variable or a template on the line of `offset` that nobody has filled in: what the parser says of it helps nobody. */
function placeholderAt(
  text: string,
  offset: number,
): { readonly offset: number; readonly message: string } | undefined {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const end = text.indexOf('\n', offset)
  const line = text.slice(start, end < 0 ? text.length : end)
  const match = /\$\{\w[^}]*\}|\{\{.*?\}\}/.exec(line)
  if (match === null) return undefined
  const message = match[0].startsWith('$') ? unreplacedVariable : 'this is a template that has not been rendered'
  return { offset: start + match.index, message: `${match[0]}: ${message}` }
}

function syntaxMessage(code: string, message: string): string {
  const plain = message.replace(/\s+at line \d+.*$/s, '')
  if (code === 'TAB_AS_INDENT') return 'a TAB stands in the indentation; YAML indents with spaces only'
  if (code === 'BAD_INDENT') return `${plain}; check that this line is indented like its neighbours`
  return plain
}

class Converter {
  readonly #parsed: Document.Parsed
  readonly #document: SourceDocument
  readonly #problems: Problems
  readonly #anchors = new Map<string, ConfigNode>()

  constructor(parsed: Document.Parsed, document: SourceDocument, problems: Problems) {
    this.#parsed = parsed
    this.#document = document
    this.#problems = problems
  }

  root(): ConfigNode {
    return this.#node(this.#parsed.contents, 0)
  }

  #node(node: unknown, fallbackOffset: number): ConfigNode {
    if (isAlias(node)) {
      // An anchor is known once its node is complete, so an alias to a node that contains it finds nothing.
      const target = this.#anchors.get(node.source)
      if (target) return target
      this.#error(
        node.range?.[0] ?? fallbackOffset,
        `the alias *${node.source} has no anchor &${node.source} before it`,
      )
      return emptyScalar(fallbackOffset)
    }
    const converted = this.#convert(node, fallbackOffset)
    const anchor = (node as Node | null)?.anchor
    if (anchor) this.#anchors.set(anchor, converted)
    return converted
  }

  #convert(node: unknown, fallbackOffset: number): ConfigNode {
    if (isScalar(node)) return scalar(node, fallbackOffset)
    if (!isCollection(node)) return emptyScalar(fallbackOffset)
    const offset = node.range?.[0] ?? fallbackOffset
    if (isSeq(node)) return { kind: 'list', offset, items: node.items.map(item => this.#item(item, offset)) }
    if (!isMap(node)) return emptyScalar(offset)
    return { kind: 'map', offset, entries: node.items.map(pair => this.#entry(pair, offset)) }
  }

  /** In a flow list, `[a: 1]` is a pair without braces. */
  #item(item: unknown, offset: number): ConfigNode {
    if (!isPair(item)) return this.#node(item, offset)
    return { kind: 'map', offset, entries: [this.#entry(item as Pair, offset)] }
  }

  #entry(pair: Pair, fallbackOffset: number): MapEntry {
    const keyNode = this.#node(pair.key, fallbackOffset)
    if (keyNode.kind !== 'scalar')
      this.#error(
        keyNode.offset,
        'a key must be a plain name, not a mapping or a list; is this a template that has not been rendered?',
      )
    const key = keyNode.kind === 'scalar' ? keyNode.text : ''
    return { key, keyOffset: keyNode.offset, value: this.#node(pair.value, keyNode.offset) }
  }

  #error(offset: number, message: string): void {
    this.#problems.error({ document: this.#document, offset, path: '' }, 'syntax', message)
  }
}

function scalar(node: Scalar, fallbackOffset: number): ScalarNode {
  const quoted = node.type !== undefined && node.type !== 'PLAIN'
  const text = typeof node.value === 'string' ? node.value : (node.source ?? '')
  return { kind: 'scalar', offset: node.range?.[0] ?? fallbackOffset, text, quoted }
}

function emptyScalar(offset: number): ScalarNode {
  return { kind: 'scalar', offset, text: '', quoted: false }
}
