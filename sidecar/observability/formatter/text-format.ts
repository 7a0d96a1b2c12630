/**
 * Envoy's substitution format (`%REQ(:METHOD)% %RESPONSE_CODE%`), compiled once into a function.
 *
 * Access logs, header mutation and local replies share it. What is missing is printed as `-`, or as nothing. Nothing is read of a request that the format does not
 * name: {@link Formatter.needs}.
 *
 * The result has one character per byte and must be written as latin1: see context.ts.
 */
import type { Compiled, FormatContext, FormatNeed, FormatOptions, Formatter } from './context.ts'
import { operatorOptions, withNeeds } from './operator.ts'
import { parseFormat, type Segment } from './parse.ts'

/** A format of text. Every mistake in it is told, with the column of the operator. */
export function compileTextFormat(format: string, options: FormatOptions = {}): Compiled<Formatter> {
  const needs = new Set<FormatNeed>()
  const { segments, errors } = parseFormat(format, operatorOptions(options), needs)
  if (errors.length > 0) return { errors }
  return { value: withNeeds(textFunction(segments, options.omitEmptyValues === true ? '' : '-'), needs) }
}

function textFunction(segments: readonly Segment[], empty: string): (context: FormatContext) => string {
  const [only] = segments
  if (only === undefined) return () => ''
  if (segments.length === 1 && typeof only === 'string') return () => only
  // Every `+` here joins two strings: one place that also sees numbers costs the line twice the time
  // (test/bench/access-log.bench.ts).
  return context => {
    let line = ''
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i]!
      if (typeof segment === 'string') {
        line += segment
        continue
      }
      const value = segment(context)
      if (typeof value === 'string') line += value
      else line += value === undefined || value === null ? empty : String(value)
    }
    return line
  }
}
