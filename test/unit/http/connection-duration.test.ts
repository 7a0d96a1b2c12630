/** How long a downstream connection may live: `max_connection_duration`, lengthened by `max_connection_duration_jitter`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Random } from '../../../sidecar/base/random.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import type { HttpConnectionManager } from '../../../sidecar/config/schema/generated/types.ts'
import { ConnectionManager } from '../../../sidecar/http/connection-manager.ts'
import { connectionManagerConfig } from '../../../sidecar/server/connection-manager-config.ts'

const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

/** Lots drawn for `common_http_protocol_options`, from a chance that says 0, then a half, then nearly 1. */
function durations(options: string): number[] {
  const text = `{stat_prefix: a, route_config: {name: r}, common_http_protocol_options: ${options}}`
  const { value, errors } = decodeResource(MANAGER, text, { source: 'test' })
  assert.deepEqual(errors, [])
  const config = connectionManagerConfig(value as unknown as HttpConnectionManager, {
    node: undefined,
    localAddress: { ip: '127.0.0.1', port: 1 },
    bufferLimitBytes: 1000,
    localReplyRewriter: undefined,
    internalOnlyHeaders: [],
  })
  const lots = [0, 0.5, 0.999]
  const random: Random = { next: () => lots.shift()!, uint32: () => 0 }
  const manager = new ConnectionManager({ config, random, disabledByDefault: [] } as unknown as ConstructorParameters<
    typeof ConnectionManager
  >[0])
  return Array.from({ length: 3 }, () => manager.drawConnectionDuration())
}

test('every connection draws its own duration, up to the jitter longer than configured', () => {
  assert.deepEqual(
    durations('{max_connection_duration: 10s, max_connection_duration_jitter: {value: 20}}'),
    [10_000, 11_000, 11_998],
  )
})

test('without jitter all live equally long, and without a limit for ever', () => {
  assert.deepEqual(durations('{max_connection_duration: 10s}'), [10_000, 10_000, 10_000])
  assert.deepEqual(durations('{max_connection_duration_jitter: {value: 20}}'), [Infinity, Infinity, Infinity])
})
