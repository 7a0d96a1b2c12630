/**
 * Values with operators (`%REQ(x)%`) in header mutations, rewrites and direct responses. A value without operators is
 * constant and costs nothing; what an operator has no value for is empty here, not `-` as in an access log.
 */
import { textToBytes } from '../base/regex.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import type { Mistakes } from './mistakes.ts'

export interface FormattedValue {
  /** The value where it is the same for all requests. */
  readonly constant: string | undefined
  format(context: FormatContext): string
}

class Constant implements FormattedValue {
  readonly constant: string
  constructor(value: string) {
    this.constant = value
  }
  format(): string {
    return this.constant
  }
}

/** Compiles the value in `property` of the current message. */
export function formattedValue(text: string, property: string, mistakes: Mistakes): FormattedValue {
  if (!text.includes('%')) return new Constant(textToBytes(text))
  return mistakes.attempt(property, () => compile(text)) ?? new Constant('')
}

function compile(text: string): FormattedValue {
  const parts = text.split(/(%%|%REQ\([^)]*\)%)/).map(part => {
    if (part === '%%') return '%'
    const name = /^%REQ\(([^)]*)\)%$/.exec(part)?.[1]
    return name === undefined ? part : { names: name.toLowerCase().split('?') }
  })
  return {
    constant: undefined,
    format(context) {
      let out = ''
      for (const part of parts) {
        if (typeof part === 'string') out += part
        else out += part.names.map(name => context.requestHeaders!.get(name)).find(value => value !== undefined) ?? ''
      }
      return out
    },
  }
}
