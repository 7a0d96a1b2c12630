/**
 * All operators: Envoy 1.40's, and `%FAILURE(…)%` and `%REQUEST_TRAILER(…)%` of our own.
 *
 * `%CEL(…)%` is the one of Envoy's that is refused. `%UPSTREAM_FILTER_STATE(…)%` is read and always empty: no filter runs
 * on the upstream's side.
 */

import { nearest } from '../../base/suggest.ts'
import type { Extractor, FormatNeed, OperatorOptions } from './context.ts'
import { type Operator, OperatorError } from './operator.ts'
import { connectionOperators } from './operators-connection.ts'
import { messageOperators } from './operators-message.ts'
import { metadataOperators } from './operators-metadata.ts'
import { streamOperators } from './operators-stream.ts'

const coalesce: Operator = { syntax: 'argument:length', compile: compileCoalesce }

export const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  Object.entries({
    ...messageOperators,
    ...streamOperators,
    ...connectionOperators,
    ...metadataOperators,
    COALESCE: coalesce,
  }),
)

/** What Envoy knows and could only be made up here. */
const REFUSED: Readonly<Record<string, string>> = {
  DOWNSTREAM_CX_RTT: 'Node does not tell the round-trip time of a socket',
  ROUTE_RESOLUTION_TIME_US: 'finding a route is not timed',
  ...Object.fromEntries(
    ['DOWNSTREAM', 'UPSTREAM'].flatMap(side => [
      [`${side}_DETECTED_CLOSE_TYPE`, 'how a connection closes is not known when a request of it is logged'],
      [`${side}_LOCAL_CLOSE_REASON`, 'how a connection closes is not known when a request of it is logged'],
    ]),
  ),
}

/** One operator by its parts; `argument` and `length` are undefined where the format has none. */
export function compileOperator(
  name: string,
  argument: string | undefined,
  length: string | undefined,
  options: OperatorOptions,
  needs: Set<FormatNeed>,
): Extractor {
  const operator = OPERATORS.get(name)
  if (operator === undefined) {
    const refused = REFUSED[name]
    if (refused !== undefined) throw new OperatorError(`${name} is not supported: ${refused}`)
    throw new OperatorError(`Not supported field in StreamInfo: ${name}`, didYouMean(name))
  }
  const { syntax } = operator
  // Empty brackets are no argument, as in Envoy.
  const given = argument !== undefined && argument !== ''
  if (syntax === 'alone' && (given || length !== undefined)) {
    throw new OperatorError(`${name} does not take any parameters or length`)
  }
  if (syntax.startsWith('argument') && !syntax.startsWith('argument_optional') && !given) {
    throw new OperatorError(`${name} requires parameters`)
  }
  if (length !== undefined && !syntax.endsWith(':length')) {
    throw new OperatorError(`${name} does not allow length to be specified.`)
  }
  const maxLength = length === undefined ? Number.POSITIVE_INFINITY : Number(length)
  return operator.compile({ name, argument: argument ?? '', maxLength, options, needs })
}

/** `{"operators": ["ROUTE_NAME", {"command": "REQ", "param": "x", "max_length": 9}]}`: the first that has a value. */
function compileCoalesce({ argument, options, needs }: Parameters<Operator['compile']>[0]): Extractor {
  let parsed: unknown
  try {
    parsed = JSON.parse(argument)
  } catch (error) {
    throw new OperatorError(`COALESCE: failed to parse JSON configuration: ${(error as Error).message}`)
  }
  const entries = (parsed as { operators?: unknown } | null)?.operators
  if (!Array.isArray(entries) || entries.length === 0) {
    throw new OperatorError("COALESCE: JSON configuration must have a non-empty 'operators' array")
  }
  const extractors = entries.map(entry => {
    if (typeof entry === 'string') return compileOperator(entry, undefined, undefined, options, needs)
    const { command, param, max_length } = (entry ?? {}) as { command?: unknown; param?: unknown; max_length?: unknown }
    if (typeof command !== 'string')
      throw new OperatorError("COALESCE: operator object must have 'command' string field")
    const length = typeof max_length === 'number' ? String(max_length) : undefined
    return compileOperator(command, typeof param === 'string' ? param : undefined, length, options, needs)
  })
  return context => {
    for (const extractor of extractors) {
      const value = extractor(context)
      if (value !== undefined && value !== null && value !== '') return value
    }
    return undefined
  }
}

export function didYouMean(name: string): string {
  const found = nearest(name, OPERATORS.keys())
  return found === undefined ? '' : `, did you mean "${found}"?`
}
