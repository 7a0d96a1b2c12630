/**
 * gRPC's own interoperability tests through sidecars: the client and server of grpc-go, and ours on grpc-js, each against
 * each, in plaintext and under TLS. Real Envoy passes them all, which is asserted too; so must one sidecar, and two.
 *
 * Under TLS every hop is encrypted and verified, HTTP/2 comes by ALPN, and certificates are asked of both sides wherever
 * both can: between proxies, and at grpc-js. The programs of grpc-go know no client certificates, so on their hop it is
 * the server alone that shows one.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { credentials, ServerCredentials } from '@grpc/grpc-js'
import { startEnvoy } from '../kit/envoy.ts'
import { freePort, freePorts } from '../kit/free-port.ts'
import { caseNames, playCase } from '../kit/grpc-test-client.ts'
import { GrpcTestServer } from '../kit/grpc-test-server.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { partOrSkip } from '../kit/parts.ts'
import { run, TestProcess } from '../kit/process.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { bootstrap, cluster, httpListener, type Json, typed } from './scenarios/bootstrap.ts'

type Security = 'plaintext' | 'mTLS'

const files = new TlsFiles()
const identities = Object.fromEntries(
  ['client', 'proxy', 'server'].map(name => [
    name,
    files.issue(name, { dns: ['localhost'], uris: [`spiffe://test/${name}`] }),
  ]),
)
const ca = Buffer.from(files.authority.certificate)
const pem = (name: string) => ({
  key: Buffer.from(identities[name]!.key),
  chain: Buffer.from(identities[name]!.chain),
})
const SOCKET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'

/**
 * A transport socket with the certificate of the proxies, which takes only whom `peers` (a regular expression) names; '' for
 * whoever comes (names that are to match make a certificate required, in Envoy too).
 */
function tlsSocket(
  side: 'Downstream' | 'Upstream',
  peers: string,
  fields: { readonly [key: string]: Json } = {},
): Json {
  const file = (name: string): Json => ({ filename: join(files.folder, name) })
  const matcher: Json = { safe_regex: { regex: `spiffe://test/(${peers})` } }
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed(`${SOCKET}.${side}TlsContext`, {
      ...fields,
      common_tls_context: {
        tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
        tls_certificates: [{ certificate_chain: file('proxy.crt'), private_key: file('proxy.key') }],
        validation_context: {
          trusted_ca: file('ca.pem'),
          ...(peers !== '' && { match_typed_subject_alt_names: [{ san_type: 'URI', matcher }] }),
        },
        ...(side === 'Downstream' && { alpn_protocols: ['h2'] }),
      },
    }),
  }
}

interface ProxyOptions {
  readonly security: Security
  /** The one who calls has a certificate. */
  readonly knownCaller: boolean
}

/** A proxy that passes everything on over HTTP/2. */
async function startProxy(
  start: (yaml: string, options: { adminPort: number }) => Promise<ProxyProcess>,
  upstreamPort: number,
  { security, knownCaller }: ProxyOptions,
): Promise<{ readonly port: number; readonly process: ProxyProcess }> {
  const [port, adminPort] = (await freePorts(2)) as [number, number]
  const secure = security === 'mTLS'
  const yaml = bootstrap({
    listeners: [
      httpListener({
        name: 'grpc',
        routes: [{ match: { prefix: '/' }, route: { cluster: 'next', timeout: '0s' } }],
        manager: { access_log: [] },
        ...(secure && {
          transportSocket: tlsSocket('Downstream', knownCaller ? 'client|proxy' : '', {
            require_client_certificate: knownCaller,
          }),
        }),
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
        ...(secure && { transport_socket: tlsSocket('Upstream', 'proxy|server', { sni: 'localhost' }) }),
      }),
    ],
  })
    .replaceAll('{{listen:grpc}}', String(port))
    .replaceAll('{{admin}}', String(adminPort))
  return { port, process: await start(yaml, { adminPort }) }
}

/** Ports to call: through real Envoy, one sidecar, two sidecars, and Envoy on either side; all in front of one server. */
class Ways {
  readonly ports: ReadonlyMap<string, number>
  readonly #processes: readonly ProxyProcess[]

  private constructor(ports: ReadonlyMap<string, number>, processes: readonly ProxyProcess[]) {
    this.ports = ports
    this.#processes = processes
  }

  /** `knownCaller`: the client has a certificate to show. */
  static async to(serverPort: number, security: Security, knownCaller: boolean): Promise<Ways> {
    const outer = { security, knownCaller }
    const inner = { security, knownCaller: true }
    const processes: ProxyProcess[] = []
    const add = async (start: Parameters<typeof startProxy>[0], to: number, options: ProxyOptions) => {
      const { port, process } = await startProxy(start, to, options)
      processes.push(process)
      return port
    }
    const ports = new Map<string, number>()
    ports.set('Envoy', await add(startEnvoy, serverPort, outer))
    ports.set('one sidecar', await add(startHopwise, serverPort, outer))
    const sidecar = await add(startHopwise, serverPort, inner)
    ports.set('two sidecars', await add(startHopwise, sidecar, outer))
    if (security === 'mTLS') {
      ports.set('Envoy, then a sidecar', await add(startEnvoy, sidecar, outer))
      ports.set('a sidecar, then Envoy', await add(startHopwise, await add(startEnvoy, serverPort, inner), outer))
    }
    return new Ways(ports, processes)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map(process => process.stop('SIGKILL')))
  }
}

const ORCA = ['-service_config_json', '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}']
const SOAK = ['-soak_iterations', '20', '-soak_per_iteration_max_acceptable_latency_ms', '10000']
/**
 * Cases that the client of grpc-go alone plays, by the server that can answer them, with what must be said: soaks (calls in
 * a row, on one connection or on a new one each), and load reports (ORCA) in trailers and as a stream beside the calls.
 */
const GO_CASES = {
  'grpc-go': { rpc_soak: SOAK, channel_soak: SOAK, orca_per_rpc: ORCA },
  'grpc-js': { rpc_soak: SOAK, channel_soak: SOAK, pick_first_unary: [] },
}
/** Waits two seconds for reports on every way, so it is not played under TLS as well. */
const PLAINTEXT_CASES = { orca_oob: ORCA }
const GO_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  ...GO_CASES['grpc-go'],
  ...GO_CASES['grpc-js'],
  ...PLAINTEXT_CASES,
}

interface Player {
  /** It shows a certificate where it is asked for one. */
  readonly known: boolean
  readonly play: (name: string, port: number, security: Security) => Promise<unknown>
}

/** Every case on every way. */
async function compare(
  t: TestContext,
  serverPort: number,
  { known, play }: Player,
  security: Security,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await using ways = await Ways.to(serverPort, security, known)
  for (const name of [...caseNames, ...Object.keys(more)]) {
    await t.test(name, async () => {
      const failed: string[] = []
      for (const [way, port] of ways.ports) {
        const problem = await play(name, port, security).then(
          () => '',
          (error: Error) => error.message,
        )
        if (problem !== '') failed.push(`${way}: ${problem}`)
      }
      assert.deepEqual(failed, [])
    })
  }
}

const grpcJs: Player = {
  known: true,
  play: (name, port, security) => playCase(name, port, clientCredentials(security)),
}

function clientCredentials(security: Security) {
  if (security === 'plaintext') return credentials.createInsecure()
  const { key, chain } = pem('client')
  return credentials.createSsl(ca, key, chain)
}

function jsServer(security: Security): Promise<GrpcTestServer> {
  if (security === 'plaintext') return GrpcTestServer.start()
  const { key, chain } = pem('server')
  return GrpcTestServer.start(ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: chain }], true))
}

const grpcGo = (program: string): Player => ({
  known: false,
  play(name, port, security) {
    const address = ['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name]
    const trust = ['-use_tls', '-use_test_ca', '-ca_file', files.caPath, '-server_host_override', 'localhost']
    const args = [...address, ...(security === 'plaintext' ? [] : trust), ...(GO_ARGUMENTS[name] ?? [])]
    return run(program, args, { deadlineMs: 20_000 })
  },
})

async function goServer(
  t: TestContext,
  security: Security,
): Promise<{ port: number; process: TestProcess } | undefined> {
  const program = await partOrSkip(t, 'grpc-interop-server')
  if (program === undefined) return undefined
  const port = await freePort()
  const path = (file: string) => join(files.folder, file)
  const identity = ['-use_tls', '-tls_cert_file', path('server.crt'), '-tls_key_file', path('server.key')]
  const process = TestProcess.start(program, ['-port', String(port), ...(security === 'mTLS' ? identity : [])])
  const answers = () =>
    grpcJs.play('empty_unary', port, security).then(
      () => true,
      () => false,
    )
  try {
    await process.waitUntil(answers, 'the server of grpc-go', 15_000)
  } catch (error) {
    await process.stop('SIGKILL')
    throw error
  }
  return { port, process }
}

for (const security of ['plaintext', 'mTLS'] as const) {
  test(`ours on grpc-js, client and server, without anything between, in ${security}`, async t => {
    await using server = await jsServer(security)
    for (const name of caseNames) {
      await t.test(name, async () => {
        await grpcJs.play(name, server.port, security)
      })
    }
  })

  test(`grpc-go calls grpc-go, in ${security}`, async t => {
    const client = await partOrSkip(t, 'grpc-interop-client')
    const server = await goServer(t, security)
    if (client === undefined || server === undefined) return
    try {
      const cases = { ...GO_CASES['grpc-go'], ...(security === 'plaintext' && PLAINTEXT_CASES) }
      await compare(t, server.port, grpcGo(client), security, cases)
    } finally {
      await server.process.stop('SIGKILL')
    }
  })

  test(`grpc-js calls grpc-go, in ${security}`, async t => {
    const server = await goServer(t, security)
    if (server === undefined) return
    try {
      await compare(t, server.port, grpcJs, security)
    } finally {
      await server.process.stop('SIGKILL')
    }
  })

  test(`grpc-go calls grpc-js, in ${security}`, async t => {
    const client = await partOrSkip(t, 'grpc-interop-client')
    if (client === undefined) return
    await using server = await jsServer(security)
    await compare(t, server.port, grpcGo(client), security, GO_CASES['grpc-js'])
  })
}

test('grpc-js calls grpc-js with a certificate on every hop', async t => {
  await using server = await jsServer('mTLS')
  await compare(t, server.port, grpcJs, 'mTLS')
})
