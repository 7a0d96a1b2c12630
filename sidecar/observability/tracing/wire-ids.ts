/** The ids of whatever trace context a message carries, for failure location, which needs them also where no tracing is. */
import type { HeaderView } from '../formatter/context.ts'
import { extractContext, type PropagationFormat } from './propagation.ts'

export interface WireIds {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

const NONE: WireIds = { traceId: '', spanId: '', sampled: false }
const FORMATS: readonly PropagationFormat[] = ['w3c', 'b3']

/** W3C first, then B3 in either form; malformed ids count as none. One look over the names before anything is parsed. */
export function traceIdsOf(headers: HeaderView & { readonly list: readonly string[] }): WireIds {
  if (!mayCarryContext(headers.list)) return NONE
  const context = extractContext(headers, FORMATS)
  return context === undefined
    ? NONE
    : { traceId: context.traceId, spanId: context.spanId, sampled: context.sampled === true }
}

function mayCarryContext(list: readonly string[]): boolean {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    if (name === 'traceparent' || name === 'b3' || name === 'x-b3-traceid') return true
  }
  return false
}
