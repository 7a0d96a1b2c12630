/** A pool of HTTP/1.1 connections: each carries one request at a time. */
import type { Host } from './host.ts'
import { Http1Connection } from './http1-connection.ts'
import type { PoolEnvironment } from './pool.ts'
import type { ResourceManager } from './resource.ts'
import { StreamPool } from './stream-pool.ts'

export class Http1Pool extends StreamPool {
  constructor(host: Host, environment: PoolEnvironment, resources: ResourceManager) {
    super(host, environment, resources, (owner, connect) => new Http1Connection(owner, connect))
  }
}
