/** The ids of whatever trace context a message carries, for failure location, which needs them also where no tracing is. */

export interface WireIds {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

const NONE: WireIds = { traceId: '', spanId: '', sampled: false }

/** W3C `traceparent` first, then B3 in one header, then B3 in several. Malformed ids count as none. */
export function traceIdsOf(headers: {
  readonly list: readonly string[]
  get(name: string): string | undefined
}): WireIds {
  const list = headers.list
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    switch (name.charCodeAt(0)) {
      case 0x74: // t
        if (name === 'traceparent') return ofTraceparent(list[i + 1]!)
        break
      case 0x62: // b
        if (name === 'b3') return ofB3(list[i + 1]!)
        break
      case 0x78: // x
        if (name === 'x-b3-traceid') {
          const spanId = headers.get('x-b3-spanid') ?? ''
          const sampled = headers.get('x-b3-sampled')
          return {
            traceId: list[i + 1]!.toLowerCase(),
            spanId: spanId.toLowerCase(),
            sampled: sampled === '1' || sampled === 'true',
          }
        }
        break
    }
  }
  return NONE
}

function ofTraceparent(value: string): WireIds {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/.exec(value)
  if (match === null) return NONE
  return { traceId: match[1]!, spanId: match[2]!, sampled: (Number.parseInt(match[3]!, 16) & 1) === 1 }
}

function ofB3(value: string): WireIds {
  const [traceId, spanId, sampled] = value.toLowerCase().split('-')
  if (traceId === undefined || spanId === undefined) return NONE
  return { traceId, spanId, sampled: sampled === '1' || sampled === 'd' }
}
