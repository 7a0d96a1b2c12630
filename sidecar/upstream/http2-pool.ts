/** A pool of HTTP/2 connections: each carries as many requests as both sides allow. */
import type { Host } from './host.ts'
import { Http2Connection } from './http2-connection.ts'
import { NO_NAMES, type PoolEnvironment, type RequestedNames } from './pool.ts'
import type { ResourceManager } from './resource.ts'
import { StreamPool } from './stream-pool.ts'

export class Http2Pool extends StreamPool {
  constructor(host: Host, environment: PoolEnvironment, resources: ResourceManager, names: RequestedNames = NO_NAMES) {
    super(host, environment, resources, names, (owner, connect) => new Http2Connection(owner, connect))
  }
}
