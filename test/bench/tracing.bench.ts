/**
 * What does tracing cost a request? Unsampled: ids, the decision, the context in and out. Sampled: that, tags, and the
 * span's bytes in reports of 512, as under load.
 *
 *   node test/bench/tracing.bench.ts
 */
import { systemClock } from '../../sidecar/base/clock.ts'
import { systemRandom } from '../../sidecar/base/random.ts'
import { RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import { StreamInfo } from '../../sidecar/observability/stream-info.ts'
import { OtlpJsonEncoder, OtlpProtobufEncoder } from '../../sidecar/observability/tracing/otlp-encoder.ts'
import { otlpResource } from '../../sidecar/observability/tracing/otlp-resource.ts'
import type { SpanEncoder } from '../../sidecar/observability/tracing/span-encoder.ts'
import { OPENTELEMETRY_TRACING, Tracer, ZIPKIN_TRACING } from '../../sidecar/observability/tracing/tracer.ts'
import { ZipkinEncoder } from '../../sidecar/observability/tracing/zipkin-encoder.ts'

const REQUESTS = 200_000
const REPORT_SPANS = 512
const ROUNDS = 5

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
const response = new ResponseHeaders(200, ['content-type', 'text/plain'])

function measure(name: string, rate: number, encoder?: SpanEncoder, base = ZIPKIN_TRACING, traced = true): void {
  let waiting = 0
  let bytes = 0
  const reporter = encoder && {
    report: (span: Parameters<SpanEncoder['add']>[0]) => {
      encoder.add(span)
      if (++waiting < REPORT_SPANS) return
      waiting = 0
      // A text becomes bytes when it is sent: that is part of the cost.
      bytes += Buffer.from(encoder.take()).length
    },
  }
  const sampling = { ...base.sampling, rates: { clientSampling: 0, randomSampling: rate, overallSampling: 100 } }
  const tracer = new Tracer(
    { ...base, nodeId: 'sidecar~10.0.0.7', sampling },
    { clock: systemClock, random: systemRandom, reporter },
  )
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    for (let i = 0; i < REQUESTS; i++) {
      const headers = new RequestHeaders('GET', '/api/v1/orders?id=17', 'orders.local', 'http', [
        'user-agent',
        'curl/8.5.0',
        'x-forwarded-proto',
        'http',
        'x-request-id',
        '59b04ea1-8e49-4562-907b-93b492defd95',
      ])
      const info = new StreamInfo(connection, 'HTTP/1.1', 1, 1_700_000_000_000)
      info.responseCode = 200
      info.clusterName = 'orders'
      info.endMs = 12.5
      if (!traced) continue
      const span = tracer.start(headers, info)
      span.injectInto(headers)
      tracer.end(span, { info: span.info, requestHeaders: headers, responseHeaders: response })
    }
    const { user, system } = process.cpuUsage(before)
    rounds.push((user + system) / REQUESTS)
  }
  const best = Math.min(...rounds).toFixed(2)
  const size = bytes === 0 ? '' : `, ${Math.round(bytes / (REQUESTS * ROUNDS))} bytes`
  process.stdout.write(`${name.padEnd(34)} ${best} µs a request${size}\n`)
}

const endpoint = { serviceName: 'orders', ipv4: '127.0.0.1', ipv6: '', port: 0 }
const identity = { resource: otlpResource({ serviceName: 'orders', version: '0' }), version: '0' }
measure('headers and record alone', 0, undefined, ZIPKIN_TRACING, false)
measure('unsampled, no reporter', 0)
measure('unsampled, Zipkin', 0, new ZipkinEncoder(endpoint))
measure('sampled, Zipkin JSON', 100, new ZipkinEncoder(endpoint))
measure('sampled, OTLP protobuf', 100, new OtlpProtobufEncoder(identity), OPENTELEMETRY_TRACING)
measure('sampled, OTLP JSON', 100, new OtlpJsonEncoder(identity), OPENTELEMETRY_TRACING)
