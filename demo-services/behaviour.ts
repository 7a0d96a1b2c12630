/** How a service of the demo misbehaves: set over `POST /control` of its ops port, as JSON; `{}` makes it well again. */
export interface Behaviour {
  /** Only requests for this path; all by default. */
  path?: string
  /** Answers with this status, after its own calls went well. */
  status?: number
  delayMs?: number
  /** Takes requests and never answers. */
  hang?: boolean
  /** Begins an answer and then says nothing more. */
  stall?: boolean
  /** Answers by resetting the connection (RST), or the stream where others share its connection. */
  reset?: boolean
  /** Answers by closing the connection (FIN). */
  close?: boolean
  /** Answers what is no HTTP. */
  garbage?: boolean
  /** Breaks off in the middle of the body, of a response with Content-Length or a chunked one. */
  cutBody?: 'length' | 'chunked'
  /** Answers 200 whatever its calls came to. */
  swallow?: boolean
  /** Sends a body of this many bytes with its first call. */
  sendBytes?: number
  /** Sends a header of this many bytes with its calls, or with its answers. */
  sendHeadBytes?: number
  answerHeadBytes?: number
  /** Makes its first call this many times at once. */
  fanOut?: number
  /** Calls this host as well, for `/` or the path behind it (`outside/feed`); a method of gRPC if that is one. */
  alsoCall?: string
  /** Calls this host, with a path or without, {@link SPREE_CALLS} times, a few at a time. */
  spree?: string
  /** Asks this host for a WebSocket. */
  upgrade?: string
  /** Says to whom it calls that it waits this long; over gRPC it does. */
  deadlineMs?: number
  /** Request headers added to its calls. */
  headers?: Readonly<Record<string, string>>
  /** Its process ends at the next request; a supervisor, if it has one, starts it again after so many milliseconds. */
  crash?: number
  /** Keeps this many MiB more with every request. */
  memory?: number
}

/** More than a rate limit lets through at once; few enough at a time for every circuit breaker. */
export const SPREE_CALLS = 60
export const SPREE_AT_ONCE = 4

const KINDS: Readonly<Record<keyof Behaviour, 'string' | 'number' | 'boolean' | 'object'>> = {
  path: 'string',
  status: 'number',
  delayMs: 'number',
  hang: 'boolean',
  stall: 'boolean',
  reset: 'boolean',
  close: 'boolean',
  garbage: 'boolean',
  cutBody: 'string',
  swallow: 'boolean',
  sendBytes: 'number',
  sendHeadBytes: 'number',
  answerHeadBytes: 'number',
  fanOut: 'number',
  alsoCall: 'string',
  spree: 'string',
  upgrade: 'string',
  deadlineMs: 'number',
  headers: 'object',
  crash: 'number',
  memory: 'number',
}

/** The behaviour in `text`, or what is wrong with it. */
export function parseBehaviour(text: string): Behaviour | string {
  let value: unknown
  try {
    value = JSON.parse(text === '' ? '{}' : text)
  } catch (error) {
    return (error as Error).message
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'an object is wanted'
  for (const [name, setting] of Object.entries(value)) {
    const kind = Object.hasOwn(KINDS, name) ? KINDS[name as keyof Behaviour] : undefined
    if (kind === undefined) return `no setting '${name}'; there are ${Object.keys(KINDS).join(', ')}`
    if (typeof setting !== kind) return `${name} must be a ${kind}`
  }
  return value as Behaviour
}
