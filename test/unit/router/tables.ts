/** Route tables for tests and benchmarks, from configuration as one writes it. */
import assert from 'node:assert/strict'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import type { RouteConfiguration } from '../../../sidecar/config/schema/generated/types.ts'
import { everythingSupported } from '../../../sidecar/config/support.ts'
import { RuntimeLayers } from '../../../sidecar/filter-chain/runtime-layers.ts'
import { type DownstreamConnectionInfo, StreamInfo } from '../../../sidecar/observability/stream-info.ts'
import type { RouteEntry } from '../../../sidecar/router/route-entry.ts'
import {
  type CompiledRouteTable,
  compileRouteConfiguration,
  type RouteTable,
  type RouteTableContext,
} from '../../../sidecar/router/route-table.ts'

/** Decodes a route configuration as a file would be; its own mistakes fail the test. */
export function decode(routeConfig: object): RouteConfiguration {
  const text = JSON.stringify({ name: 'test', ...routeConfig }, null, 1)
  const { value, errors } = decodeResource('envoy.config.route.v3.RouteConfiguration', text, {
    source: 'test.yaml',
    support: everythingSupported,
  })
  assert.ok(value !== undefined, JSON.stringify(errors.map(({ path, message }) => `${path}: ${message}`)))
  return value
}

export function compile(routeConfig: object, context: Partial<RouteTableContext> = {}): CompiledRouteTable {
  return compileRouteConfiguration(decode(routeConfig), {
    runtime: RuntimeLayers.from(undefined),
    decodeFilterConfig: (_name, message) => message.value,
    ...context,
  })
}

/** The table of a configuration that has no mistakes. */
export function tableOf(routeConfig: object, context: Partial<RouteTableContext> = {}): RouteTable {
  const { table, errors } = compile(routeConfig, context)
  assert.deepEqual(errors, [])
  return table
}

/** A table of one virtual host for all domains. */
export function routesOf(routes: readonly object[], context: Partial<RouteTableContext> = {}): RouteTable {
  return tableOf({ virtual_hosts: [{ name: 'host', domains: ['*'], routes }] }, context)
}

/** The errors of one route's fields, as `field: reason`, without the path of the route. */
export function errorsOf(route: object, context: Partial<RouteTableContext> = {}): string[] {
  const { errors } = compile({ virtual_hosts: [{ name: 'host', domains: ['*'], routes: [route] }] }, context)
  return errors.map(({ field, reason }) => `${field.replace('virtual_hosts[0].routes[0].', '')}: ${reason}`)
}

export const downstream: DownstreamConnectionInfo = {
  id: 1,
  directRemote: { ip: '10.1.2.3', port: 40000 },
  local: { ip: '10.0.0.1', port: 8080 },
  listenerName: '',
  filterChainName: '',
  tls: undefined,
  requestedServerName: '',
}

export function streamInfo(connection = downstream): StreamInfo {
  return new StreamInfo(connection, 'HTTP/1.1', 0, 0)
}

export interface RequestParts {
  readonly method?: string
  readonly path?: string
  readonly host?: string
  readonly scheme?: string
  readonly headers?: Readonly<Record<string, string>>
}

export function request({
  method = 'GET',
  path = '/',
  host = 'a.test',
  scheme = 'http',
  headers = {},
}: RequestParts = {}) {
  return new RequestHeaders(method, path, host, scheme, Object.entries(headers).flat())
}

/** The entry for a request, by a lot that is the same every time. */
export function match(table: RouteTable, parts: RequestParts = {}, seed = 1): RouteEntry | undefined {
  return table.match(request(parts), streamInfo(), new SeededRandom(seed))
}
