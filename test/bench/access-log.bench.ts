/**
 * What does a log line cost, until its bytes are ready to be written? Goal: Envoy's default line in at most 0.7 µs on an
 * idle core. The first line is the measure of the machine: the same texts, joined without any format.
 *
 *   node test/bench/access-log.bench.ts
 */
import { RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import {
  compileJsonFormat,
  compileTextFormat,
  ENVOY_FORMAT,
  FORMAT_PRESETS,
} from '../../sidecar/observability/formatter/formatter.ts'
import { StreamInfo } from '../../sidecar/observability/stream-info.ts'

const LINES = 300_000
const ROUNDS = 5
const BATCH_BYTES = 65_536

const address = { ip: '127.0.0.1', port: 40_000 }
const connection = {
  id: 1,
  directRemote: address,
  local: address,
  listenerName: 'ingress',
  filterChainName: '',
  tls: undefined,
  requestedServerName: '',
}
const info = new StreamInfo(connection, 'HTTP/1.1', 10, 1_700_000_000_000)
info.endMs = 25.5
info.lastDownstreamTxByteMs = 25.5
info.responseCode = 200
info.responseCodeDetails = 'via_upstream'
info.clusterName = 'orders'
info.upstreamHost = { ip: '10.0.0.7', port: 8080 }
const requestHeaders = new RequestHeaders('GET', '/api/v1/orders?x=1', 'orders.local', 'http', [
  'x-forwarded-for',
  '10.0.0.1',
  'user-agent',
  'curl/8.5.0',
  'x-request-id',
  '59b04ea1-8e49-9562-907b-93b492defd95',
])
const responseHeaders = new ResponseHeaders(200, ['x-envoy-upstream-service-time', '14'])
const context = { info, requestHeaders, responseHeaders }

function measure(name: string, format: () => string): void {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    let lines = ''
    for (let i = 0; i < LINES; i++) {
      info.bytesSent = i
      if (i % 20 === 0) info.startWallMs++
      lines += format()
      if (lines.length < BATCH_BYTES) continue
      Buffer.from(lines, 'latin1')
      lines = ''
    }
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / LINES)
  }
  process.stdout.write(`${name.padEnd(30)} ${best.toFixed(2)} µs a line\n`)
}

const envoy = compileTextFormat(ENVOY_FORMAT).value!
const pieces = envoy(context).split(/(?<= )/)
measure('its pieces, joined', () => {
  let line = ''
  for (let i = 0; i < pieces.length; i++) line += pieces[i]!
  return line + info.bytesSent
})
measure("Envoy's default line", () => envoy(context))
for (const [name, preset] of Object.entries(FORMAT_PRESETS)) {
  if (name === 'envoy') continue
  const format = 'text' in preset ? compileTextFormat(preset.text) : compileJsonFormat(preset.json, preset)
  measure(`preset ${name}`, () => format.value!(context))
}
