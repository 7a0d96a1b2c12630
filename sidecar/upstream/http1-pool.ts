/** A pool of HTTP/1.1 connections: each carries one request at a time. */
import type { Host } from './host.ts'
import { Http1Connection } from './http1-connection.ts'
import { NO_NAMES, type PoolEnvironment, type RequestedNames } from './pool.ts'
import type { ResourceManager } from './resource.ts'
import { StreamPool } from './stream-pool.ts'

export class Http1Pool extends StreamPool {
  constructor(host: Host, environment: PoolEnvironment, resources: ResourceManager, names: RequestedNames = NO_NAMES) {
    super(host, environment, resources, names, (owner, connect) => new Http1Connection(owner, connect))
  }
}
