/** Which protocols the connections of a pool speak. A host has a pool for each that its requests want, and each priority. */
import { AlpnPool } from './alpn-pool.ts'
import type { Host } from './host.ts'
import { Http1Pool } from './http1-pool.ts'
import { Http2Pool } from './http2-pool.ts'
import type { ConnectionPool, PoolEnvironment, RequestedNames } from './pool.ts'
import type { ResourceManager } from './resource.ts'

export const PoolKind = {
  Http1: 0,
  Http2: 1,
  /** What the TLS handshake agrees on. */
  Alpn: 2,
} as const
export type PoolKind = (typeof PoolKind)[keyof typeof PoolKind]

export function createPool(
  kind: PoolKind,
  host: Host,
  environment: PoolEnvironment,
  resources: ResourceManager,
  names: RequestedNames,
): ConnectionPool {
  if (kind === PoolKind.Http1) return new Http1Pool(host, environment, resources, names)
  if (kind === PoolKind.Http2) return new Http2Pool(host, environment, resources, names)
  return new AlpnPool(host, environment, resources, names)
}
