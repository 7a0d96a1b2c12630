/**
 * Values with operators (`%REQ(x)%`) in header mutations, rewrites and direct responses. A value without operators is
 * constant and costs nothing; what an operator has no value for is empty here, not `-` as in an access log.
 */
import { textToBytes } from '../base/regex.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import { compileTextFormat, formatErrorText } from '../observability/formatter/formatter.ts'
import type { Mistakes } from './mistakes.ts'

export interface FormattedValue {
  /** The value where it is the same for all requests. */
  readonly constant: string | undefined
  format(context: FormatContext): string
}

/** A value that is the same for all requests. */
export function constantValue(text: string): FormattedValue {
  const constant = textToBytes(text)
  return { constant, format: () => constant }
}

/** Compiles the value in `property` of the current message. */
export function formattedValue(text: string, property: string, mistakes: Mistakes): FormattedValue {
  if (!text.includes('%')) return constantValue(text)
  const { value, errors } = compileTextFormat(text, { omitEmptyValues: true })
  if (errors !== undefined) {
    mistakes.error(property, formatErrorText(errors))
    return constantValue('')
  }
  return { constant: undefined, format: value }
}
