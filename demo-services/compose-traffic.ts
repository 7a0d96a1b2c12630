/**
 * The driver of the chain in compose: steady HTTPS requests at the edge, a line about them every few seconds, a first fault
 * after a while (`FIRST_FAULT`, '' for none), and one line for whatever the sidecars have located.
 *
 * Port 8081: `/`, the page over all sidecars; `GET /ready`; `GET /report`, what callers saw and who is to blame since
 * `?since=` (ms); `GET /failures`, the entries of all sidecars since then; `GET /counters`, theirs; `GET /call?of=a&path=/`,
 * a call into the mesh as a service of it makes it, with the answer's headers; `GET /site-ca.pem`, who vouches for the edge;
 * `POST /rate`, requests a second from now on; `POST /traffic`, another shape ({@link TrafficShape}); `POST /break`, terms
 * of `fault-words.ts`; `POST /burst`, many calls into the mesh at once ({@link Burst}).
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshPage } from '../observability/trace-store/mesh-page.ts'
import { control } from './break.ts'
import { STEADY_RATE, type TrafficShape } from './catalogue.ts'
import { parseFaults } from './fault-words.ts'
import { locate, nameCulprit } from './judge.ts'
import { SIDECARS, serviceOf } from './layout.ts'
import { SidecarOutput } from './sidecar-output.ts'
import { describe, evidenceText } from './terminal.ts'
import { medianMs, type Seen, summaryOf, Traffic } from './traffic.ts'

const OPS_PORT = 8081
const ADMIN_PORT = 9901
const REPORT_MS = 5000
/** Good requests in a row before there are as many as wanted. */
const WARM = 5
/** Good requests before the first fault, so that one sees both. */
const WELL_FIRST = 60
const FIRST_FAULT_MS = 6000
/** Reports kept for `/report`. */
const MAX_SEEN = 50_000

const identity = process.env['IDENTITY'] ?? '/identity'
const read = (name: string) => readFileSync(`${identity}/${name}`, 'utf8')
const rate = Number(process.env['RATE'] ?? STEADY_RATE)
const zipkin = process.env['ZIPKIN'] ?? 'http://zipkin:9411'
const zipkinPage = process.env['ZIPKIN_PAGE'] ?? ''
const firstFault = (process.env['FIRST_FAULT'] ?? '').split(' ').filter(term => term !== '')

const traffic = new Traffic({ host: 'front', port: 8443, path: '/shop/', ca: read('site-ca.pem') })
const admins = new Map(SIDECARS.map(name => [name, `http://${name}:${ADMIN_PORT}`]))
const output = new SidecarOutput(admins)
const page = new MeshPage({ sidecars: admins, trace: spansOf })
/** With the moment each ended. */
const seen: { readonly at: number; readonly one: Seen }[] = []

/** From Zipkin. */
async function spansOf(traceId: string): Promise<readonly object[] | undefined> {
  const answer = await fetch(`${zipkin}/api/v2/trace/${traceId}`, { signal: AbortSignal.timeout(5000) })
  return answer.ok ? ((await answer.json()) as object[]) : undefined
}

function collect(): void {
  const at = Date.now()
  for (const one of traffic.take()) seen.push({ at, one })
  if (seen.length > MAX_SEEN) seen.splice(0, seen.length - MAX_SEEN)
}

const since = (from: number) => seen.filter(({ at }) => at >= from).map(({ one }) => one)

async function breakThem(terms: readonly string[]): Promise<void> {
  const behaviours = parseFaults(terms)
  await Promise.all([...behaviours].map(([instance, behaviour]) => control(instance, behaviour)))
}

/** One line on what callers saw, and one more on who is to blame, if anybody is. */
async function tell(): Promise<void> {
  let from = Date.now()
  for (;;) {
    await delay(REPORT_MS)
    collect()
    const ended = since(from)
    const entries = await output.failuresSince(from)
    from = Date.now()
    if (ended.length > 0) console.log(`callers  ${summaryOf(ended)}, median ${medianMs(ended).toFixed(0)} ms`)
    const failures = locate(entries)
    if (!failures.some(({ merged }) => merged.hasOrigin)) continue
    const named = nameCulprit({
      entries,
      originCounts: new Map(),
      secondsPerRequest: new Map(),
      usualSecondsPerRequest: new Map(),
    })
    const trace = named?.traceId ? `  ${zipkinPage}${named.traceId}` : ''
    console.log(`FAILED   ${describe(named)}  ·  ${evidenceText(named)}${trace}`)
  }
}

/** Everything has just started, and compiles what it runs: full traffic would only pile up. */
async function warmUp(): Promise<void> {
  traffic.usualRate = 2
  traffic.start()
  while (traffic.successes < WARM) await delay(100)
  traffic.usualRate = rate
}

async function breakOnce(): Promise<void> {
  while (traffic.successes < WELL_FIRST) await delay(100)
  console.log(
    `break    ${firstFault.join(' ')}  (for ${FIRST_FAULT_MS / 1000} s; more with: docker compose run --rm break)`,
  )
  await breakThem(firstFault)
  await delay(FIRST_FAULT_MS)
  await breakThem(firstFault.map(term => `${term.split('=')[0]}=well`))
  console.log(`mended   ${firstFault.join(' ')}`)
}

/** The identity of one of the mesh. */
function member() {
  return { ca: read('ca.pem'), cert: read('chain.pem'), key: read('key.pem') }
}

/** Requests of another caller of a service, a few at a time, who has the patience to keep them open for so long. */
interface Burst {
  /** An instance with a sidecar. */
  readonly of: string
  readonly times: number
  readonly forMs: number
}

/** A sidecar can have opened connections for so many by the time that the next come. */
const WAVE = 10
const WAVE_MS = 10

/** Resolves when all are on their way. */
async function burst({ of, times, forMs }: Burst): Promise<void> {
  const session = connect(`https://${of}:15006`, { ...member(), servername: serviceOf(of) })
  session.on('error', error => console.error(`burst to ${of}: ${error.message}`))
  await new Promise((resolve, reject) => session.once('remoteSettings', resolve).once('error', reject))
  for (let i = 0; i < times; i++) {
    if (i % WAVE === WAVE - 1) await delay(WAVE_MS)
    // c takes gRPC: an empty message, whole.
    const grpc = {
      ':method': 'POST',
      ':path': '/hopwise.demo.Chain/Work',
      'content-type': 'application/grpc',
      te: 'trailers',
    }
    const stream = session.request(
      { ':authority': of, ...(of === 'c' ? grpc : { ':path': '/' }) },
      { endStream: false },
    )
    stream.on('error', () => {})
    stream.resume()
    stream.end(of === 'c' ? Buffer.alloc(5) : undefined)
  }
  setTimeout(() => session.destroy(), forMs)
}

/** Longer than the 5 s that sidecars let their applications take; none answers that stands still. */
const MAX_CALL_MS = 7000

/** A call to the ingress listener of a service, with the identity of one of the mesh: what a sidecar gets to see. */
function callMesh(service: string, path: string): Promise<{ status: number; headers: IncomingMessage['headers'] }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; headers: IncomingMessage['headers'] }>()
  const request = httpsRequest(
    {
      host: service,
      port: 15006,
      path,
      ...member(),
      servername: service,
      agent: false,
      headers: { host: service },
      timeout: MAX_CALL_MS,
    },
    response => {
      const { statusCode = 0, headers } = response
      response.resume()
      // One that breaks off has told its head all the same.
      response.on('error', () => {})
      response.on('close', () => resolve({ status: statusCode, headers }))
    },
  )
  request.on('timeout', () => request.destroy(new Error(`no answer in ${MAX_CALL_MS / 1000} s`)))
  request.on('error', reject)
  request.end()
  return promise
}

const ops = createServer((req, res) => {
  answer(req, res).catch((error: Error) => {
    if (!res.headersSent) res.writeHead(400)
    res.end(`${error.message}\n`)
  })
})

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? '/', 'http://localhost')
  const from = Number(url.searchParams.get('since') ?? 0)
  const json = (value: unknown) => {
    res.setHeader('content-type', 'application/json').end(`${JSON.stringify(value)}\n`)
  }
  if (req.method === 'POST') {
    let body = ''
    for await (const part of req) body += part
    if (url.pathname === '/break') await breakThem(body.split(/\s+/).filter(term => term !== ''))
    else if (url.pathname === '/rate') traffic.usualRate = Number(body) || rate
    else if (url.pathname === '/burst') await burst(JSON.parse(body) as Burst)
    else if (url.pathname === '/traffic') traffic.shape(JSON.parse(body || '{}') as TrafficShape)
    else return void res.writeHead(404).end()
    return json({})
  }
  if (await page.handle(req, res)) return
  if (url.pathname === '/ready') return void res.end('ready\n')
  if (url.pathname === '/failures') return json({ failures: await output.failuresSince(from) })
  if (url.pathname === '/counters') {
    const counters = await output.counters()
    return json([...counters].map(([instance, values]) => [instance, [...values]]))
  }
  if (url.pathname === '/site-ca.pem') return void res.end(read('site-ca.pem'))
  if (url.pathname === '/call')
    return json(await callMesh(url.searchParams.get('of') ?? 'a', url.searchParams.get('path') ?? '/'))
  if (url.pathname === '/report') {
    collect()
    return json({ now: Date.now(), successes: traffic.successes, callers: since(from) })
  }
  res
    .writeHead(404)
    .end('GET /, /ready, /report, /failures, /counters, /call, /site-ca.pem; POST /rate, /traffic, /break, /burst\n')
}

ops.listen(OPS_PORT)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0))
console.log(`traffic  ${rate} requests a second to https://localhost:8443/shop/; the page: http://localhost:8090/`)
await Promise.all([tell(), warmUp().then(() => (firstFault.length > 0 ? breakOnce() : undefined))])
