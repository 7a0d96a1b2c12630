/**
 * What does one proxied request cost without the kernel? The whole data path (connection manager, router, pool, both
 * codecs, stats, failure ledger, tracing at 1 %) between two connections that are no sockets.
 *
 *   node test/bench/data-path.bench.ts [folder of another sidecar/ to compare with]
 *   node --import=./test/bench/side-by-side/without-ledger.ts test/bench/data-path.bench.ts
 *
 * `npm run bench` says what users will see; this says what a change does, because nothing else on the machine disturbs it
 * much: the best of several series counts. Sockets and system calls add 15 to 20 µs. Goal: at most 12 µs.
 */
import { join } from 'node:path'
import type { Address } from '../../sidecar/base/address.ts'
import type { Connection, ConnectionHandler } from '../../sidecar/transport/connection.ts'
import { repository } from '../kit/install-once.ts'
import { benchConfiguration } from './side-by-side/configuration.ts'

const GOAL_US = 12
const SERIES = 15
const REQUESTS = 20_000
/** As many are in flight at once, so that the garbage collector meets what it meets in service. */
const CONNECTIONS = 64

const REQUEST = Buffer.from(
  'GET /v1/orders/17?page=2 HTTP/1.1\r\nHost: orders.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Language: en\r\n\r\n',
)
const RESPONSE = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\nserver: app\r\n\r\n{"orders":[1,2,3,4]}',
)

const folder = process.argv[2] ?? join(repository, 'sidecar')
const load = <T>(file: string): Promise<T> => import(join(folder, file)) as Promise<T>
const { Server } = await load<typeof import('../../sidecar/server/server.ts')>('server/server.ts')
const { loadBootstrap } = await load<typeof import('../../sidecar/config/bootstrap.ts')>('config/bootstrap.ts')
const { httpFilters, loadBalancingPolicies } = await load<typeof import('../../sidecar/extensions.ts')>('extensions.ts')
const { parseServerOptions } = await load<typeof import('../../sidecar/server/options.ts')>('server/options.ts')
const { BuildErrors } = await load<typeof import('../../sidecar/server/build-errors.ts')>('server/build-errors.ts')
const { beginTurn, endTurn, flushLater } =
  await load<typeof import('../../sidecar/transport/write-batch.ts')>('transport/write-batch.ts')

let nextId = 1

class NoSocket implements Connection {
  readonly id = nextId++
  readonly remote: Address = { ip: '127.0.0.1', port: 40_000 }
  readonly local: Address = { ip: '127.0.0.1', port: 10_000 }
  readonly tls = undefined
  readonly bufferedBytes = 0
  bytesRead = 0
  bytesWritten = 0
  closed = false
  handler: ConnectionHandler
  /** Bytes written since the last look. */
  written = 0
  #waiting = false
  constructor(handler: ConnectionHandler) {
    this.handler = handler
  }
  write(data: Buffer | string): void {
    this.bytesWritten += data.length
    this.written += data.length
    if (this.#waiting) return
    this.#waiting = true
    flushLater(this)
  }
  flush(): void {
    this.#waiting = false
  }
  deliver(bytes: Buffer): void {
    this.bytesRead += bytes.length
    beginTurn()
    try {
      this.handler.onData(bytes)
    } finally {
      endTurn()
    }
  }
  pauseReading(): void {}
  resumeReading(): void {}
  closeAfterFlush(): void {
    this.close()
  }
  close(): void {
    if (this.closed) return
    this.closed = true
    this.handler.onClose({ kind: 'local', details: '' })
  }
}

const upstreams: NoSocket[] = []

function makeServer() {
  const ports = { admin: 1, plain: 2, routes: 3, traced: 4, inbound: 5, outbound: 6, tls: 7, http2: 8 }
  const options = parseServerOptions(['--config-yaml', '{}'])
  const { bootstrap, errors } = loadBootstrap({
    text: benchConfiguration(ports, { http1: 9, http2: 9 }),
    file: 'bench.yaml',
  })
  if (bootstrap === undefined || options === 'help') throw new Error(JSON.stringify(errors))
  const parts = {
    options,
    bootstrap,
    filters: httpFilters,
    policies: loadBalancingPolicies,
    listenerFilters: [],
    spanReporter: undefined,
  }
  return new Server({ ...parts, reload: () => ({ bootstrap: undefined, errors: [], warnings: [] }) } as never)
}

const server = makeServer()
const { env } = server
const found = new BuildErrors()
for (const message of server.bootstrap.staticResources?.clusters ?? []) env.clusters.add(message)
const [plain] = server.listeners.build(server.bootstrap.staticResources?.listeners ?? [], found).values()
await env.clusters.initialize()
if (plain === undefined || found.errors.length > 0) throw new Error(JSON.stringify(found.errors))
const cluster = env.clusters.get('upstream') as unknown as { settings: { connection: object } }
const connect = (_target: object, _options: object, handler: ConnectionHandler): Connection => {
  const connection = new NoSocket(handler)
  upstreams.push(connection)
  queueMicrotask(() => connection.handler.onConnected())
  return connection
}
cluster.settings = { ...cluster.settings, connection: { ...cluster.settings.connection, connect } }

const downstreams: NoSocket[] = []
for (let i = 0; i < CONNECTIONS; i++) {
  const connection = new NoSocket(undefined as never)
  plain.listener.accept(connection as never)
  downstreams.push(connection)
}

/** Requests on all connections, then all their answers. */
function round(): void {
  for (const connection of downstreams) connection.deliver(REQUEST)
  for (const connection of upstreams) {
    if (connection.written === 0) continue
    connection.written = 0
    connection.deliver(RESPONSE)
  }
}

round()
await new Promise(resolve => setImmediate(resolve))
for (const connection of upstreams) {
  connection.written = 0
  connection.deliver(RESPONSE)
}
const results: number[] = []
for (let series = 0; series < SERIES; series++) {
  const before = process.cpuUsage()
  for (let i = 0; i < REQUESTS / CONNECTIONS; i++) round()
  const { user, system } = process.cpuUsage(before)
  results.push((user + system) / REQUESTS)
  await new Promise(resolve => setImmediate(resolve))
}
const answered = downstreams.reduce((sum, one) => sum + one.written, 0)
if (answered < SERIES * REQUESTS * RESPONSE.length) throw new Error('requests were not answered')
results.sort((a, b) => a - b)
const best = results[0]!
const middle = results[SERIES >> 1]!
const verdict = best <= GOAL_US ? 'ok' : 'MISSED'
console.log(
  `GET, no sockets: ${best.toFixed(2)} µs a request, median ${middle.toFixed(2)} (goal ${GOAL_US}: ${verdict})`,
)
process.exit(0)
