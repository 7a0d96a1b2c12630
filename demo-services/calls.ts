/**
 * Calls of a service to others, through the egress listener of its own sidecar: `http://d/` goes there, and the sidecar
 * knows where d is. HTTP is spoken by http2-wrapper's auto client, in HTTP/1.1 or HTTP/2 as the run wants it.
 */
import { Agent, request } from 'node:http'
import type { ClientHttp2Stream } from 'node:http2'
import { connect } from 'node:net'
import type { TLSSocket } from 'node:tls'
import http2 from 'http2-wrapper'

type Headers = Readonly<Record<string, string>>

/** An option of ours, which http2-wrapper passes on to the agent. */
interface StreamListener {
  readonly onStream?: (stream: ClientHttp2Stream) => void
}

/**
 * HTTP/2 with prior knowledge (RFC 9113 §3.3): a sidecar next door speaks plaintext, where there is no ALPN to ask.
 * http2-wrapper itself only connects over TLS, hence the type.
 */
class PlaintextHttp2Agent extends http2.Agent {
  /** Tells whoever asked of its stream, which alone knows whether it was reset. */
  override async request(...args: Parameters<http2.Agent['request']>): ReturnType<http2.Agent['request']> {
    const stream = await super.request(...args)
    const options = args[1] as StreamListener | undefined
    options?.onStream?.(stream)
    return stream
  }

  override async createConnection(origin: URL): Promise<TLSSocket> {
    return connect({ host: origin.hostname, port: Number(origin.port), noDelay: true }) as unknown as TLSSocket
  }
}

export class HttpCalls {
  readonly #egressPort: number
  /** What is negotiated where there is TLS; the auto client calls anything else `http:`. */
  readonly #protocol: 'http/1.1' | 'h2'
  // Everything goes to one origin, so the limit is one of connections at a time.
  readonly #agents = { http: new Agent({ keepAlive: true, maxSockets: 1000 }), http2: new PlaintextHttp2Agent() }

  constructor(egressPort: number, http2: boolean) {
    this.#egressPort = egressPort
    this.#protocol = http2 ? 'h2' : 'http/1.1'
  }

  /** Resolves when the whole answer is there and is none of an error. */
  async send(
    host: string,
    path: string,
    bodyBytes: number,
    more: Headers,
    gone: AbortSignal | undefined,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let stream: ClientHttp2Stream | undefined
    const listener: StreamListener = {
      onStream: begun => {
        stream = begun
      },
    }
    const outgoing = await http2.auto({
      ...listener,
      host: '127.0.0.1',
      port: this.#egressPort,
      protocol: this.#protocol === 'h2' ? 'https:' : 'http:',
      resolveProtocol: async () => ({ alpnProtocol: this.#protocol }),
      agent: this.#agents,
      method: bodyBytes > 0 ? 'POST' : 'GET',
      path,
      headers: { ':authority': host, ':scheme': 'http', ...more },
    })
    let answered = false
    outgoing.on('response', response => {
      answered = true
      response.resume()
      response.on('error', reject)
      response.on('close', () => {
        // http2-wrapper takes a reset in the middle of a response for its end.
        if (!response.complete || (stream !== undefined && stream.rstCode !== 0))
          reject(new Error('broke off its answer'))
        else if ((response.statusCode ?? 0) >= 400) reject(new Error(String(response.statusCode)))
        else resolve()
      })
    })
    const giveUp = () => outgoing.destroy(new Error('given up'))
    outgoing.on('error', reject)
    outgoing.on('close', () => {
      gone?.removeEventListener('abort', giveUp)
      if (!answered) reject(new Error('ended without an answer'))
    })
    gone?.addEventListener('abort', giveUp, { once: true })
    if (gone?.aborted) giveUp()
    else outgoing.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
    return promise
  }

  /** Asks for a WebSocket, as HTTP/1.1 does (RFC 6455 §4.1); resolves when there is one, and leaves it at that. */
  upgrade(host: string, path: string, more: Headers, gone: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const outgoing = request({
      host: '127.0.0.1',
      port: this.#egressPort,
      path,
      agent: false,
      signal: gone,
      headers: { ...more, host, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
    })
    outgoing.on('upgrade', (_, socket) => {
      socket.destroy()
      resolve()
    })
    outgoing.on('response', response => {
      response.resume()
      reject(new Error(String(response.statusCode)))
    })
    outgoing.on('error', reject)
    outgoing.end()
    return promise
  }
}
