/**
 * Envoy's substitution format taken apart: `%OPERATOR(argument):length%` between literal text, `%%` for a percent sign.
 *
 * The grammar and the texts of mistakes are Envoy's (`SubstitutionFormatParser`, measured on 1.40). Envoy stops at the
 * first mistake; here parsing goes on behind it, so that all are told at once.
 */
import { binaryText, type Extractor, type FormatError, type FormatNeed, type OperatorOptions } from './context.ts'
import { OperatorError } from './operator.ts'
import { compileOperator, didYouMean, OPERATORS } from './operators.ts'

/** Literal text or an operator. */
export type Segment = string | Extractor

export interface ParsedFormat {
  readonly segments: readonly Segment[]
  readonly errors: readonly FormatError[]
}

const OPERATOR = /%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%/y

export function parseFormat(format: string, options: OperatorOptions, needs: Set<FormatNeed>, path = ''): ParsedFormat {
  const segments: Segment[] = []
  const errors: FormatError[] = []
  let literal = ''
  let position = 0
  while (position < format.length) {
    const percent = format.indexOf('%', position)
    if (percent < 0) break
    literal += format.slice(position, percent)
    if (format[percent + 1] === '%') {
      literal += '%'
      position = percent + 2
      continue
    }
    OPERATOR.lastIndex = percent
    const match = OPERATOR.exec(format)
    if (match === null) {
      const message = `Incorrect configuration: ${format}. Couldn't find valid command at position ${percent}`
      errors.push({ message, hint: misspelt(format.slice(percent)), column: percent + 1, path })
      const next = format.indexOf('%', percent + 1)
      position = next < 0 ? format.length : next + 1
      continue
    }
    position = percent + match[0].length
    try {
      const extractor = compileOperator(match[1]!, match[2], match[3], options, needs)
      if (literal !== '') segments.push(binaryText(literal))
      literal = ''
      segments.push(extractor)
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      errors.push({ message: error.message, hint: error.hint, column: percent + 1, path })
    }
  }
  literal += format.slice(position)
  if (literal !== '') segments.push(binaryText(literal))
  return { segments, errors }
}

/** Most often an operator in the wrong case or with a blank in it. */
function misspelt(rest: string): string {
  const name = /^%\s*([A-Za-z0-9_]+)\s*[(%:]/.exec(rest)?.[1]?.toUpperCase()
  if (name === undefined) return ', a percent sign by itself is written %%'
  return OPERATORS.has(name) ? `, did you mean "%${name}${rest.includes('(') ? '(…)' : ''}%"?` : didYouMean(name)
}
