/**
 * gRPC's own interoperability tests through sidecars: the client and server of grpc-go, and ours on grpc-js, each against
 * each. Real Envoy passes them all, which is asserted too; so must one sidecar, and two.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { freePort, freePorts } from '../kit/free-port.ts'
import { caseNames, playCase } from '../kit/grpc-test-client.ts'
import { GrpcTestServer } from '../kit/grpc-test-server.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { partOrSkip } from '../kit/parts.ts'
import { run, TestProcess } from '../kit/process.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { bootstrap, cluster, httpListener, typed } from './scenarios/bootstrap.ts'

/** A proxy that passes everything on over HTTP/2. */
async function startProxy(
  start: (yaml: string, options: { adminPort: number }) => Promise<ProxyProcess>,
  upstreamPort: number,
): Promise<{ readonly port: number; readonly process: ProxyProcess }> {
  const [port, adminPort] = (await freePorts(2)) as [number, number]
  const yaml = bootstrap({
    listeners: [
      httpListener({
        name: 'grpc',
        routes: [{ match: { prefix: '/' }, route: { cluster: 'next', timeout: '0s' } }],
        manager: { access_log: [] },
      }),
    ],
    clusters: [
      cluster('next', String(upstreamPort), {
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
            'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            { explicit_http_config: { http2_protocol_options: {} } },
          ),
        },
      }),
    ],
  })
    .replaceAll('{{listen:grpc}}', String(port))
    .replaceAll('{{admin}}', String(adminPort))
  return { port, process: await start(yaml, { adminPort }) }
}

/** Ports to call: through real Envoy, one sidecar, two sidecars; all in front of one server. */
class Ways {
  readonly ports: ReadonlyMap<string, number>
  readonly #processes: readonly ProxyProcess[]

  private constructor(ports: ReadonlyMap<string, number>, processes: readonly ProxyProcess[]) {
    this.ports = ports
    this.#processes = processes
  }

  static async to(serverPort: number): Promise<Ways> {
    const envoy = await startProxy(startEnvoy, serverPort)
    const one = await startProxy(startHopwise, serverPort)
    const two = await startProxy(startHopwise, one.port)
    const ports = new Map([
      ['Envoy', envoy.port],
      ['one sidecar', one.port],
      ['two sidecars', two.port],
    ])
    return new Ways(ports, [envoy.process, one.process, two.process])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map(process => process.stop('SIGKILL')))
  }
}

type Player = (name: string, port: number) => Promise<unknown>

/** Every case on every way. */
async function compare(t: TestContext, serverPort: number, play: Player): Promise<void> {
  await using ways = await Ways.to(serverPort)
  for (const name of caseNames) {
    await t.test(name, async () => {
      const failed: string[] = []
      for (const [way, port] of ways.ports) {
        const problem = await play(name, port).then(
          () => '',
          (error: Error) => error.message,
        )
        if (problem !== '') failed.push(`${way}: ${problem}`)
      }
      assert.deepEqual(failed, [])
    })
  }
}

async function goServer(t: TestContext): Promise<{ port: number; process: TestProcess } | undefined> {
  const program = await partOrSkip(t, 'grpc-interop-server')
  if (program === undefined) return undefined
  const port = await freePort()
  const process = TestProcess.start(program, ['-port', String(port)])
  await process.waitUntil(
    () =>
      playCase('empty_unary', port).then(
        () => true,
        () => false,
      ),
    'the server of grpc-go',
    15_000,
  )
  return { port, process }
}

const goClient =
  (program: string): Player =>
  (name, port) =>
    run(program, ['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name], {
      deadlineMs: 20_000,
    })

test('ours on grpc-js, client and server, without anything between', async t => {
  await using server = await GrpcTestServer.start()
  for (const name of caseNames) await t.test(name, () => playCase(name, server.port))
})

test('grpc-go calls grpc-go', async t => {
  const client = await partOrSkip(t, 'grpc-interop-client')
  const server = await goServer(t)
  if (client === undefined || server === undefined) return
  try {
    await compare(t, server.port, goClient(client))
  } finally {
    await server.process.stop('SIGKILL')
  }
})

test('grpc-js calls grpc-go', async t => {
  const server = await goServer(t)
  if (server === undefined) return
  try {
    await compare(t, server.port, playCase)
  } finally {
    await server.process.stop('SIGKILL')
  }
})

test('grpc-go calls grpc-js', async t => {
  const client = await partOrSkip(t, 'grpc-interop-client')
  if (client === undefined) return
  await using server = await GrpcTestServer.start()
  await compare(t, server.port, goClient(client))
})
