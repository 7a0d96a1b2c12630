/**
 * A pool whose connections speak what the TLS handshake agreed on (`auto_config`; Envoy: `HttpConnPoolImplMixed`). Until
 * then a connection is expected to carry one request, as if it were HTTP/1.1.
 */
import { InvariantError } from '../base/invariant.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import type { Host } from './host.ts'
import { Http1Connection } from './http1-connection.ts'
import { Http2Connection } from './http2-connection.ts'
import { NO_NAMES, type PoolEnvironment, type RequestedNames } from './pool.ts'
import { type ConnectionOwner, type LentStream, PooledConnection } from './pooled-connection.ts'
import type { ResourceManager } from './resource.ts'
import { StreamPool } from './stream-pool.ts'

export class AlpnPool extends StreamPool {
  constructor(host: Host, environment: PoolEnvironment, resources: ResourceManager, names: RequestedNames = NO_NAMES) {
    super(host, environment, resources, names, (owner, connect) => new OpeningConnection(owner, connect))
  }
}

/** A connection whose protocol is not known yet. */
class OpeningConnection extends PooledConnection implements ConnectionHandler {
  readonly expectedStreams = 1
  readonly usable = false
  readonly busy = false
  readonly remainingRequests = 1
  readonly #owner: ConnectionOwner
  readonly #transport: Connection

  constructor(owner: ConnectionOwner, connect: (handler: ConnectionHandler) => Connection) {
    super()
    this.#owner = owner
    this.#transport = connect(this)
  }

  onConnected(): void {
    const transport = this.#transport
    const Kind = transport.tls?.alpn === 'h2' ? Http2Connection : Http1Connection
    const connection = new Kind(this.#owner, handler => {
      transport.handler = handler
      return transport
    })
    this.#owner.onReplaced(this, connection)
    connection.onConnected()
  }

  onClose(reason: CloseReason): void {
    this.#owner.onClosed(this, reason, false)
  }

  onData(): void {}
  onEnd(): void {
    this.#transport.close('fin')
  }
  onBackpressure(): void {}
  begin(): LentStream {
    throw new InvariantError('a connection that is being opened is not lent')
  }
  announceBackpressure(): void {}
  startIdleTimeout(): void {}
  drain(): void {}
  close(): void {
    this.#transport.close('fin')
  }
}
