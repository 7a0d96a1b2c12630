/**
 * The admin listener: the operator's endpoints on our own data path, as a connection manager whose only filter asks the
 * admin handler. `node:http` would cost 17 MB and 65 ms at start.
 */
import type { AdminHandler } from '../admin/admin-handler.ts'
import type { AdminResponse } from '../admin/message.ts'
import type { Address } from '../base/address.ts'
import { invariant } from '../base/invariant.ts'
import { type RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk } from '../codec/stream.ts'
import { formatProblem } from '../config/problems.ts'
import { decodeResource } from '../config/resource.ts'
import { FilterChain } from '../filter-chain/filter-manager.ts'
import { FilterStatus, type HttpFilter, type HttpStream } from '../filter-chain/http-filter.ts'
import { ConnectionManager, type StreamLogger } from '../http/connection-manager.ts'
import { ConnectionManagerStats } from '../http/stats.ts'
import { logger } from '../observability/logging.ts'
import { HttpServingChain } from './chains.ts'
import { connectionManagerConfig } from './connection-manager-config.ts'
import type { Environment } from './environment.ts'

const log = logger('admin')

/** Bodies of admin requests are small (`/runtime_modify` forms); more is refused with 413. */
const MAX_BODY = 64 * 1024

class AdminFilter implements HttpFilter {
  readonly #handler: AdminHandler
  #body: Buffer[] = []
  #bytes = 0
  #ended = false
  /** The peer reads more slowly than we write. */
  #above = false
  #drained: (() => void) | undefined
  #pieces: AsyncIterator<string | Buffer> | undefined

  constructor(handler: AdminHandler) {
    this.#handler = handler
  }

  onRequestHeaders(stream: HttpStream, _headers: RequestHeaders, endStream: boolean): FilterStatus {
    if (endStream) void this.#answer(stream)
    return FilterStatus.Stop
  }

  onRequestData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    this.#bytes += data.length
    if (this.#bytes > MAX_BODY) {
      return stream.sendLocalReply({ status: 413, details: 'request_payload_too_large', body: 'Payload Too Large' })
    }
    this.#body.push(Buffer.from(data))
    if (endStream) void this.#answer(stream)
    return FilterStatus.Stop
  }

  onRequestTrailers(stream: HttpStream): FilterStatus {
    void this.#answer(stream)
    return FilterStatus.Stop
  }

  onResponseBackpressure(_stream: HttpStream, above: boolean): void {
    this.#above = above
    if (above) return
    this.#drained?.()
    this.#drained = undefined
  }

  onStreamEnd(): void {
    this.#ended = true
    this.#drained?.()
    // One that waits for what is to come would otherwise wait for ever.
    void this.#pieces?.return?.()
  }

  async #answer(stream: HttpStream): Promise<void> {
    const headers = stream.requestHeaders
    const [path, query] = splitTarget(headers.path)
    let response: AdminResponse
    try {
      response = await this.#handler.handle({
        method: headers.method === 'HEAD' ? 'GET' : headers.method,
        path,
        query: new URLSearchParams(query),
        headers,
        body: Buffer.concat(this.#body),
      })
    } catch (error) {
      log.error({ path, error: String(error) }, 'an admin endpoint failed')
      response = { status: 500, contentType: 'text/plain', body: `${String(error)}\n`, headers: [] }
    }
    if (this.#ended) return
    stream.info.responseCodeDetails = 'admin_filter_response'
    const out = new ResponseHeaders(response.status, ['content-type', response.contentType])
    for (const [name, value] of response.headers) out.set(name, value)
    const { body } = response
    if (typeof body !== 'string' && !Buffer.isBuffer(body)) {
      await this.#stream(stream, out, body)
      return
    }
    const bytes = Buffer.from(body as string)
    out.set('content-length', String(bytes.length))
    const headOnly = headers.method === 'HEAD' || bytes.length === 0
    stream.respondHeaders(out, headOnly)
    if (!headOnly) stream.respondData(bytes, true)
  }

  /** Piece by piece, as they come and as the peer takes them. */
  async #stream(stream: HttpStream, head: ResponseHeaders, body: AsyncIterable<string | Buffer>): Promise<void> {
    const pieces = body[Symbol.asyncIterator]()
    this.#pieces = pieces
    const headOnly = stream.requestHeaders.method === 'HEAD'
    stream.respondHeaders(head, headOnly)
    if (headOnly) {
      await pieces.return?.()
      return
    }
    while (!this.#ended) {
      const { done, value } = await pieces.next()
      if (this.#ended) break
      if (done === true) {
        stream.respondData(Buffer.alloc(0), true)
        return
      }
      stream.respondData(Buffer.from(value as string), false)
      await this.#room()
    }
  }

  /** Waits while the peer is slow, and in any case until the event loop has turned: a page must not stop the traffic. */
  async #room(): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    while (this.#above && !this.#ended) {
      await new Promise<void>(resolve => {
        this.#drained = resolve
      })
    }
  }
}

function splitTarget(target: string): [path: string, query: string] {
  const at = target.indexOf('?')
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)]
}

/** The chain that serves the admin endpoints on `address`. */
export function adminChain(
  handler: AdminHandler,
  address: Address,
  env: Environment,
  loggers: readonly StreamLogger[],
): HttpServingChain {
  const scope = env.stats.scope('http.admin')
  const config = connectionManagerConfig(connectionManagerDefaults(), {
    node: env.node,
    localAddress: address,
    bufferLimitBytes: 1024 * 1024,
    localReplyRewriter: undefined,
    internalOnlyHeaders: [],
  })
  const manager = new ConnectionManager({
    config,
    filterChain: new FilterChain([{ name: 'admin', instance: () => new AdminFilter(handler) }]),
    disabledByDefault: [],
    routes: undefined,
    stats: new ConnectionManagerStats(scope, env.stats.scope('listener.admin.http.admin'), {
      http1: env.stats.scope('http1'),
      http2: env.stats.scope('http2'),
    }),
    clock: env.clock,
    timers: env.timers,
    random: env.random,
    observer: undefined,
    // The operator is served to the end, whatever state the proxy is in.
    condition: { draining: false, overloaded: false },
    loggers,
  })
  return new HttpServingChain({}, manager, undefined)
}

/** A connection manager with nothing but defaults: no request ids, no routes and no filters of Envoy's. */
function connectionManagerDefaults() {
  const name = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
  const text = '{stat_prefix: admin, generate_request_id: false, use_remote_address: true, route_config: {name: admin}}'
  const { value, errors } = decodeResource(name, text, { source: 'admin' })
  invariant(value !== undefined, errors.map(formatProblem).join('; '))
  return value
}
