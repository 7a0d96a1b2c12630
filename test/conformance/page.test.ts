/**
 * The page in a real browser (Chromium over its DevTools protocol): a service breaks, and the page marks the right one with
 * the cause that `/failures` names; with a keyboard and a screen reader in mind, and with names from the wire that try to be
 * markup.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Browser, type BrowserPage } from '../../demo-services/browser.ts'
import { startTraceStore, type TraceStore } from '../../observability/trace-store/trace-store.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { partOrSkip } from '../kit/parts.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const HEAD = `filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}`

interface Wiring {
  readonly name: string
  readonly inbound: number
  readonly outbound: number
  readonly app: number
  readonly callee: number
  readonly calleeName: string
  readonly collector: number
}

/** The sidecar of one service: takes requests for `app`, and takes its calls to `callee`. */
function configuration({ name, inbound, outbound, app, callee, calleeName, collector }: Wiring): string {
  const listener = (direction: string, port: number, cluster: string) => `
  - name: ${direction.toLowerCase()}
    traffic_direction: ${direction}
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - ${HEAD}
          stat_prefix: ${direction.toLowerCase()}
          route_config: {name: ${direction.toLowerCase()}, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: ${cluster}}}]}]}
          tracing:
            provider:
              name: envoy.tracers.zipkin
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig
                collector_cluster: zipkin
                collector_endpoint: /api/v2/spans
                collector_endpoint_version: HTTP_JSON`
  const cluster = (clusterName: string, port: number, more = '') => `
  - name: ${clusterName}${more}
    load_assignment:
      cluster_name: ${clusterName}
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]`
  return `node: {id: ${name}-1, cluster: ${name}}
static_resources:
  listeners:${listener('INBOUND', inbound, 'app')}${listener('OUTBOUND', outbound, calleeName)}
  clusters:${cluster('app', app)}${cluster(calleeName, callee, '\n    outlier_detection: {}')}${cluster('zipkin', collector)}
`
}

const [aIn, aOut, bIn, bOut, nowhere] = await freePorts(5)
let browser: Promise<Browser> | undefined
let store: TraceStore
let a: ProxyProcess
let b: ProxyProcess
/** a calls b and passes on what it answers; b answers what `broken` says. */
let broken = 0
const appB = await FakeUpstream.start(() => ({ status: broken === 0 ? 200 : broken, body: 'b' }))
const appA = await FakeUpstream.start(async request => {
  const headers = ['x-request-id', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-sampled', 'x-b3-parentspanid'].flatMap(name => {
    const value = request.header(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  const { status } = await fetchRaw(aOut!, { path: '/b', host: 'b', headers })
  return { status: status === 200 ? 200 : 502, body: 'a' }
})

before(async () => {
  const urls = new Map<string, string>()
  store = await startTraceStore({ port: 0, sidecars: urls })
  const collector = Number(new URL(store.url).port)
  const common = { collector }
  ;[a, b] = await Promise.all([
    startHopwise(
      configuration({
        ...common,
        name: 'a',
        inbound: aIn!,
        outbound: aOut!,
        app: appA.port,
        callee: bIn!,
        calleeName: 'b',
      }),
    ),
    startHopwise(
      configuration({
        ...common,
        name: 'b',
        inbound: bIn!,
        outbound: bOut!,
        app: appB.port,
        callee: nowhere!,
        calleeName: 'c',
      }),
    ),
  ])
  urls.set('a-1', `http://127.0.0.1:${a.adminPort}`)
  urls.set('b-1', `http://127.0.0.1:${b.adminPort}`)
})
after(async () => {
  await (await browser)?.close()
  await Promise.all([a.stop('SIGKILL'), b.stop('SIGKILL'), store.close(), appA.close(), appB.close()])
})

async function opened(t: test.TestContext, url: string, options = {}): Promise<BrowserPage | undefined> {
  const chromium = await partOrSkip(t, 'chromium')
  if (chromium === undefined) return undefined
  browser ??= Browser.start(chromium)
  return await (await browser).open(url, options)
}

/** Requests one after the other until the end of the scope. */
function traffic(): AsyncDisposable {
  let going = true
  const run = (async () => {
    while (going) {
      await fetchRaw(aIn!, { path: '/', host: 'a' })
      await delay(20)
    }
  })()
  // Whatever it meets is told at the end: a rejection that nobody waits for would end the process.
  run.catch(() => {})
  return {
    async [Symbol.asyncDispose]() {
      going = false
      await run
    },
  }
}

const marked = `[...document.querySelectorAll('.node[data-origin]')].map(node => node.dataset.service + ': ' + node.dataset.origin).join()`

test("a service breaks and its page, its caller's and the page over both mark it with what /failures names", async t => {
  const pages = await Promise.all(
    [`http://127.0.0.1:${a.adminPort}/`, `http://127.0.0.1:${b.adminPort}/`, `${store.url}/`].map(url =>
      opened(t, url),
    ),
  )
  if (pages[0] === undefined) return
  await using _traffic = traffic()
  for (const page of pages) {
    await page!.waitFor(
      `document.querySelector('.node[data-service="b"]') !== null && document.querySelector('.edge') !== null`,
    )
    await page!.waitFor(`document.getElementById('headline').textContent === 'Nothing fails'`)
    assert.equal(await page!.evaluate(marked), '')
  }
  broken = 500
  for (const page of pages) {
    await page!.waitFor(`${marked} === 'b: app_error'`)
    assert.equal(
      await page!.evaluate(`document.getElementById('headline').textContent`),
      'Failures begin at b (app_error)',
    )
    assert.equal(
      await page!.evaluate(`document.getElementById('live').textContent`),
      'Failures begin at b (app_error).',
    )
    await page!.waitFor(`document.querySelector('.edge[data-to="b"][data-failing]') !== null`)
  }
  const since = await pages[0].evaluate<string>(`document.querySelector('.node[data-origin]').dataset.since`)
  assert.ok(Math.abs(Date.now() - Date.parse(since)) < 60_000, since)
  // The same from the sidecars themselves.
  const { failures } = JSON.parse(await b.admin('/failures?format=json&limit=1'))
  assert.deepEqual([failures[0].origin, failures[0].cause], ['b', 'app_error'])
  broken = 0
  for (const page of pages) await page!.waitFor(`${marked} === ''`, 30_000)
  for (const page of pages) {
    assert.deepEqual(page!.errors, [])
    const own = new URL(page!.loaded[0]!.url).origin
    assert.ok(
      page!.loaded.every(({ url }) => url.startsWith(`${own}/`)),
      'nothing from another host',
    )
    // All that has to come before the page shows anything: everything but what it asks for again and again.
    const first = new Map(page!.loaded.map(each => [each.url, each]))
    const bytes = [...first.values()].reduce((sum, each) => sum + each.bytes, 0)
    assert.ok(bytes > 10_000 && bytes < 100_000, `${bytes} bytes`)
  }
})

test('a failure is opened and closed with the keyboard alone, and shows its way, its parts and its trace', async t => {
  const page = await opened(t, `http://127.0.0.1:${b.adminPort}/`)
  if (page === undefined) return
  broken = 503
  for (let i = 0; i < 3; i++) await fetchRaw(aIn!, { path: '/', host: 'a' })
  broken = 0
  await page.waitFor(`document.querySelector('#failures tbody a[href^="#failure"]') !== null`)
  const focused = () => page.evaluate<string>(`document.activeElement?.getAttribute('href') ?? ''`)
  for (let i = 0; i < 60 && !(await focused()).startsWith('#failure/'); i++) await page.press('Tab')
  const link = await focused()
  assert.match(link, /^#failure\/[0-9a-f]{16}$/)
  await page.press('Enter')
  await page.waitFor(`document.getElementById('detail-body')?.querySelector('.waterfall tbody tr') != null`, 30_000)
  assert.equal(await page.evaluate(`document.activeElement.id`), 'detail-title')
  assert.equal(await page.evaluate(`document.querySelector('.way li[data-origin]').textContent`), 'b')
  // The span where it began; it may come later than others.
  await page.waitFor(`document.querySelector('.waterfall tr[data-origin]')?.dataset.origin === 'app_error'`)
  await page.press('Escape')
  await page.waitFor(`document.getElementById('detail').hidden`)
  assert.deepEqual(page.errors, [])
})

test('everything that is operated or looked at has a name, and the page has one heading and its landmarks', async t => {
  const page = await opened(t, `http://127.0.0.1:${a.adminPort}/`)
  if (page === undefined) return
  await page.waitFor(
    `document.querySelector('.cluster') !== null && document.querySelector('#configuration summary') !== null`,
  )
  const { nodes } = (await page.send('Accessibility.getFullAXTree')) as {
    nodes: { ignored: boolean; role?: { value: string }; name?: { value: string } }[]
  }
  const shown = nodes.filter(({ ignored }) => !ignored)
  const of = (role: string) => shown.filter(node => node.role?.value === role).map(node => node.name?.value ?? '')
  for (const role of ['link', 'button', 'img', 'image', 'graphics-symbol', 'region', 'combobox']) {
    assert.ok(
      of(role).every(name => name.trim() !== ''),
      `${role}: ${JSON.stringify(of(role))}`,
    )
  }
  assert.equal(of('banner').length, 1)
  assert.equal(of('main').length, 1)
  assert.equal(of('navigation').length, 1)
  assert.ok(of('status').length >= 1)
  assert.ok(
    of('link').some(name => /^b: .*\/s/.test(name)),
    'a service, with its rate, as a link',
  )
  assert.equal(await page.evaluate(`document.querySelectorAll('h1').length`), 1)
  assert.match(
    await page.evaluate<string>(`document.getElementById('sees').textContent`),
    /^This is what the sidecar of a sees/,
  )
  const places = await page.evaluate<string[]>(
    `[...document.querySelectorAll('#configuration .place')].map(one => one.textContent)`,
  )
  assert.ok(
    places.some(place => /envoy\.yaml:\d+$/.test(place)),
    places.join(),
  )
  assert.match(
    await page.evaluate<string>(`document.querySelector('[data-cluster="b"] .note').textContent`),
    /ejects nobody/,
  )
})

test('names from the wire stay text, whatever they look like', async t => {
  // A page over a sidecar that lies: what it says of itself is markup.
  const evil = '<img src=x onerror=document.title="owned">'
  const view = {
    at: Date.now(),
    scope: 'mesh',
    sidecars: [{ name: evil, service: evil, state: evil, version: evil, uptimeMs: 1 }],
    services: [
      {
        name: evil,
        kind: 'service',
        instances: [evil],
        requests: 1,
        failed: 1,
        ownSeconds: 1,
        origin: { origin: evil, cause: evil, since: 1, last: 2, count: 1, recent: 1, sure: 1 },
      },
    ],
    edges: [{ from: evil, to: evil, total: 5, failed: 5 }],
    failures: [
      {
        id: evil,
        ids: [],
        at: 1,
        origin: evil,
        cause: evil,
        subCause: evil,
        outcome: evil,
        link: evil,
        path: [evil],
        confidence: evil,
        attempts: 1,
        details: evil,
        traceIds: [],
        status: 500,
        grpcStatus: -1,
      },
    ],
    demo: {
      current: evil,
      told: [
        { at: 1, title: evil, callersSaw: evil, named: evil, evidence: evil, failureId: evil, right: false, why: evil },
      ],
    },
  }
  const cluster = {
    name: evil,
    service: 'x',
    external: true,
    type: evil,
    lbPolicy: evil,
    tls: true,
    discoveryFailure: evil,
    limits: [{ name: evil, inUse: 1, max: 1, refused: 1 }],
    outlierDetection: true,
    warnings: [evil],
    hosts: [
      {
        address: evil,
        hostname: evil,
        health: evil,
        weight: 1,
        priority: 0,
        zone: '',
        requests: 1,
        errors: 1,
        active: 1,
        connections: 1,
        lastFailure: evil,
        lastFailureAt: 1,
      },
    ],
  }
  const { pageFile } = await import('../../sidecar/admin/page-files.ts')
  await using liar = await FakeUpstream.start(({ target }) => {
    const path = target.replace(/\?.*/, '')
    const file = pageFile(path)
    if (file !== undefined) {
      const headers = [...file.headers, ['content-type', file.contentType] as const]
      return { body: file.body as Buffer, headers }
    }
    const answers: Record<string, object> = {
      '/mesh': view,
      '/mesh/clusters': {
        clusters: [cluster],
        rateLimits: [{ where: evil, name: evil, perSecond: 40, burst: 50, passed: 7, refused: 3 }],
      },
      '/mesh/config': {
        sources: [],
        configs: [{ '@type': 'x.ClustersConfigDump', static_clusters: [{ cluster: { name: evil } }] }],
      },
    }
    return {
      headers: [['content-type', 'application/json']],
      body: JSON.stringify({ ...answers[path], at: Date.now() }),
    }
  })
  const page = await opened(t, `http://127.0.0.1:${liar.port}/#service/${encodeURIComponent(evil)}`)
  if (page === undefined) return
  await page.waitFor(
    `document.querySelector('.cluster') !== null && document.querySelector('#failures td') !== null && document.querySelector('#configuration summary') !== null`,
  )
  await waitFor(() => liar.requests.filter(({ target }) => target === '/mesh').length >= 3, {
    deadlineMs: 15_000,
    what: 'three looks',
  })
  assert.equal(await page.evaluate(`document.querySelectorAll('img:not([src="page/mark.svg"])').length`), 0)
  assert.equal(await page.evaluate(`document.title`), 'Mesh · Hopwise')
  const limit = `[...document.querySelectorAll('[data-rate-limit] td')].map(one => one.textContent).join('|')`
  assert.equal(await page.evaluate(limit), `${evil}, ${evil}|40/s|50|7|3`)
  assert.ok(await page.evaluate<boolean>(`document.body.textContent.includes('<img src=x')`))
  assert.deepEqual(page.errors, [])
})

test('the page fits narrow and wide windows, in light and in dark', async t => {
  for (const [width, dark] of [
    [360, false],
    [1280, true],
  ] as const) {
    const page = await opened(t, `${store.url}/`, { width, height: 900, dark })
    if (page === undefined) return
    await page.waitFor(`document.querySelector('.node') !== null && document.querySelector('.cluster') !== null`)
    assert.ok(
      await page.evaluate<boolean>(`document.documentElement.scrollWidth <= innerWidth`),
      `nothing sticks out at ${width}`,
    )
    const back = await page.evaluate<string>(`getComputedStyle(document.body).backgroundColor`)
    const [red = 0] = back.match(/\d+/g)!.map(Number)
    assert.equal(red < 100, dark, back)
    assert.deepEqual(page.errors, [])
  }
})
