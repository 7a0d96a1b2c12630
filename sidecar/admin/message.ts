/** What the admin endpoints exchange with whatever carries them: a request that has arrived, a response to be written. */

export interface AdminRequest {
  readonly method: string
  /** Without the query: `/stats/prometheus`. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: { get(name: string): string | undefined }
  readonly body: Buffer
}

export interface AdminResponse {
  readonly status: number
  readonly contentType: string
  /** An iterable is written piece by piece, letting the event loop run in between. */
  readonly body: string | Buffer | AsyncIterable<string | Buffer>
  /** Besides content-type; names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export const TEXT = 'text/plain; charset=UTF-8'
export const JSON_TYPE = 'application/json'
export const HTML = 'text/html; charset=UTF-8'

/** Envoy's on every admin response: nothing here may be cached or guessed at. */
const HEADERS: AdminResponse['headers'] = [
  ['cache-control', 'no-cache, max-age=0'],
  ['x-content-type-options', 'nosniff'],
]

export function respond(status: number, contentType: string, body: AdminResponse['body']): AdminResponse {
  return { status, contentType, body, headers: HEADERS }
}

export function text(body: string, status = 200): AdminResponse {
  return respond(status, TEXT, body)
}

/** Protobuf messages are printed by Envoy with one blank per level. */
export function json(value: unknown, status = 200): AdminResponse {
  return respond(status, JSON_TYPE, `${JSON.stringify(value, undefined, 1)}\n`)
}

export function ok(): AdminResponse {
  return text('OK\n')
}

/** One path of the admin listener. */
export interface Endpoint {
  readonly path: string
  /** One line for `/help`. */
  readonly help: string
  readonly params?: readonly EndpointParam[]
  /** Changes something, so only POST will do. */
  readonly mutates?: boolean
  /** Answers every path below it as well (`/failures/<id>`). */
  readonly below?: boolean
  handle(request: AdminRequest): AdminResponse | Promise<AdminResponse>
}

export interface EndpointParam {
  readonly name: string
  readonly help: string
  readonly choices?: readonly string[]
  /** Asks by being there, whatever its value. */
  readonly flag?: boolean
}
