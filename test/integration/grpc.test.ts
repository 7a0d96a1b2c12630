/** gRPC over HTTP/2 through a sidecar: failures are named where gRPC clients can read them, and deadlines hold. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { bootstrap, cluster, httpListener, typed } from '../conformance/scenarios/bootstrap.ts'
import { freePorts } from '../kit/free-port.ts'
import { type TestMessage, testService } from '../kit/grpc-test-messages.ts'
import { GrpcTestServer } from '../kit/grpc-test-server.ts'
import { startHopwise } from '../kit/hopwise.ts'

const http2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
      'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      { explicit_http_config: { http2_protocol_options: {} } },
    ),
  },
}

async function sidecar(upstreamPort: number) {
  const [port, adminPort] = (await freePorts(2)) as [number, number]
  const yaml = bootstrap({
    listeners: [
      httpListener({
        name: 'out',
        filters: [
          {
            name: 'envoy.filters.http.grpc_stats',
            typed_config: typed('http.grpc_stats.v3.FilterConfig', { stats_for_all_methods: true }),
          },
        ],
        routes: [
          {
            match: { prefix: '/' },
            route: { cluster: 'app', max_stream_duration: { grpc_timeout_header_max: '0s' } },
          },
        ],
        manager: { access_log: [] },
      }),
    ],
    clusters: [cluster('app', String(upstreamPort), http2)],
  })
    .replaceAll('{{listen:out}}', String(port))
    .replaceAll('{{admin}}', String(adminPort))
  const process = await startHopwise(yaml, { adminPort })
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  return {
    process,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      await process.stop('SIGKILL')
    },
  }
}

/** The error of a unary call that must fail. */
function failing(client: Client, request: TestMessage, options = {}): Promise<ServiceError> {
  const { path, requestSerialize, responseDeserialize } = testService.UnaryCall
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest<TestMessage, TestMessage>(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      options,
      error => (error === null ? reject(new Error('the call was to fail')) : resolve(error)),
    )
  })
}

const recordOf = (error: ServiceError) => String(error.metadata.get('proxy-status')[0] ?? '')

test('a status of the application is named as its own, and counted by method', async () => {
  await using server = await GrpcTestServer.start()
  await using running = await sidecar(server.port)
  const error = await failing(running.client, { response_status: { code: 13, message: 'broken' } })
  assert.deepEqual([error.code, error.details], [13, 'broken'])
  assert.match(recordOf(error), /failure-origin=app; failure-cause=app_error/)
  const stats = await running.process.stats('^cluster.app.grpc')
  assert.equal(stats.get('cluster.app.grpc.grpc.testing.TestService.UnaryCall.13'), 1)
  assert.equal(stats.get('cluster.app.grpc.grpc.testing.TestService.UnaryCall.failure'), 1)
})

test('a status that is no failure carries no record', async () => {
  await using server = await GrpcTestServer.start()
  await using running = await sidecar(server.port)
  const error = await failing(running.client, { response_status: { code: 5, message: 'none' } })
  assert.equal(error.code, 5)
  assert.equal(recordOf(error), '')
})

test('an upstream that is not there is UNAVAILABLE, with the record in the head', async () => {
  const [dead] = (await freePorts(1)) as [number]
  await using running = await sidecar(dead)
  const error = await failing(running.client, {})
  assert.equal(error.code, 14)
  assert.match(recordOf(error), /error=connection_refused; failure-origin=app; failure-cause=connect_refused/)
})
