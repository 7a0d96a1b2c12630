/**
 * Values with operators (`%REQ(x)%`) in header mutations, rewrites and direct responses. A value without operators is
 * constant and costs nothing; what an operator has no value for is empty here, where an access log has `-`.
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

/** Compiles the value in `property` of the current message; `missing` is what an operator without a value gives. */
export function formattedValue(
  text: string,
  property: string,
  mistakes: Mistakes,
  missing: '' | '-' = '',
): FormattedValue {
  if (!text.includes('%')) return constantValue(text)
  const { value, errors } = compileTextFormat(text, { omitEmptyValues: missing === '' })
  if (errors !== undefined) {
    mistakes.error(property, formatErrorText(errors))
    return constantValue('')
  }
  return { constant: undefined, format: value }
}
