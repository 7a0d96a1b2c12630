/** What an operator of a format is. */
import { hostname } from 'node:os'
import { systemClock } from '../../base/clock.ts'
import { systemRandom } from '../../base/random.ts'
import type { Extractor, FormatContext, FormatNeed, FormatOptions, Formatter, OperatorOptions } from './context.ts'

/** What an operator allows behind its name (Envoy: `CommandSyntaxChecker`). */
export type OperatorSyntax = 'alone' | 'argument' | 'argument_optional' | 'argument:length' | 'argument_optional:length'

export interface OperatorCall {
  readonly name: string
  readonly argument: string
  /** At most so many bytes of text, Infinity where the format does not say. */
  readonly maxLength: number
  readonly needs: Set<FormatNeed>
  readonly options: OperatorOptions
}

/** An operator: how it may be written, and how it is compiled. Throws {@link OperatorError} for a bad argument. */
export interface Operator {
  readonly syntax: OperatorSyntax
  compile(call: OperatorCall): Extractor
}

export class OperatorError extends Error {
  override name = 'OperatorError'
  readonly hint: string
  constructor(message: string, hint = '') {
    super(message)
    this.hint = hint
  }
}

/** A table of operators, joined with the others in operators.ts. */
export type OperatorTable = Readonly<Record<string, Operator>>

/** An operator without an argument. */
export function alone(extractor: Extractor, ...needs: FormatNeed[]): Operator {
  return {
    syntax: 'alone',
    compile(call) {
      for (const need of needs) call.needs.add(need)
      return extractor
    },
  }
}

/** The first bytes of a text. */
export function cut(text: string, maxLength: number): string {
  return text.length > maxLength ? text.slice(0, maxLength) : text
}

export function operatorOptions(options: FormatOptions): OperatorOptions {
  return {
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    environment: options.environment ?? process.env,
    hostname: options.hostname ?? hostname(),
  }
}

export function withNeeds(format: (context: FormatContext) => string, needs: ReadonlySet<FormatNeed>): Formatter {
  return Object.assign(format, { needs })
}
