/** The page as a sidecar serves it: what it weighs and what it allows. That it runs is test/conformance/page.test.ts. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { parse, stringify } from 'yaml'
import { PAGE_PATHS } from '../../sidecar/admin/page-files.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { repository } from '../kit/install-once.ts'
import { localCluster, oneListener } from '../kit/one-listener.ts'

const [port, dead, ingress] = await freePorts(3)
const yaml = oneListener({
  service: 'shop',
  direction: 'OUTBOUND',
  port: port!,
  clusters: [localCluster('orders', dead!)],
})

/** A sidecar of the stack in `compose/`, without its certificates and neighbours. */
function composeSidecar(): string {
  const text = readFileSync(join(repository, 'compose', 'sidecars', 'c.yaml'), 'utf8')
  const configuration = parse(text.replace('15006', String(ingress)).replace('15001', String(port)), { merge: true })
  delete configuration.admin
  const bare = (_name: string, value: unknown) => {
    if (typeof value === 'object' && value !== null && 'transport_socket' in value) delete value.transport_socket
    return value
  }
  return stringify(JSON.parse(JSON.stringify(configuration, bare)))
}

test('the whole page, with the data of a sidecar at work, weighs less than 100 KB and comes from the sidecar alone', async () => {
  await using proxy = await startHopwise(composeSidecar())
  for (let i = 0; i < 200; i++) await fetchRaw(port!, { path: `/${i}`, host: 'nobody' })
  let bytes = 0
  for (const path of [...PAGE_PATHS, '/mesh', '/mesh/clusters', '/mesh/config']) {
    const small = await fetchRaw(proxy.adminPort, { path, headers: { 'accept-encoding': 'gzip, deflate, br, zstd' } })
    bytes += small.body.length
    assert.equal(small.header('vary'), 'accept-encoding')
    const response = await fetchRaw(proxy.adminPort, { path })
    assert.equal(response.status, 200, path)
    assert.equal(response.header('content-encoding'), undefined)
    if (small.header('content-encoding') === 'gzip' && !path.startsWith('/mesh')) {
      assert.deepEqual(gunzipSync(small.body), response.body)
    }
    if (path.startsWith('/mesh')) continue
    const policy = response.header('content-security-policy')!
    assert.match(policy, /^default-src 'none'; /)
    assert.doesNotMatch(policy, /unsafe|https?:|\*/)
    assert.equal(response.header('x-content-type-options'), 'nosniff')
    // No word of another host but the name of SVG's namespace.
    assert.deepEqual(
      [...response.text.matchAll(/https?:\/\/[^\s'"]+/g)]
        .map(([url]) => url)
        .filter(url => url !== 'http://www.w3.org/2000/svg'),
      [],
      path,
    )
    // What a policy forbids would only fail in the browser.
    assert.doesNotMatch(
      response.text,
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\bstyle="|\bon\w+="|eval\(/,
    )
  }
  assert.ok(bytes > 10_000 && bytes < 100_000, `${bytes} bytes`)
  assert.equal(JSON.parse((await fetchRaw(proxy.adminPort, { path: '/mesh' })).text).failures.length, 50)
  const { rateLimits } = JSON.parse((await fetchRaw(proxy.adminPort, { path: '/mesh/clusters' })).text)
  assert.deepEqual(rateLimits, [
    { where: 'route app/0', name: 'ration', burst: 1, perSecond: 1 / 60, passed: 0, refused: 0 },
    { where: 'listener egress', name: 'egress', burst: 200, perSecond: 200, passed: 200, refused: 0 },
    { where: 'virtual host outside', name: 'outside', burst: 150, perSecond: 150, passed: 0, refused: 0 },
  ])
  const refused = await fetchRaw(proxy.adminPort, {
    path: '/mesh',
    headers: { 'accept-encoding': 'gzip;q=0, *;q=0.0' },
  })
  assert.equal(refused.header('content-encoding'), undefined)
})

test('every file of the page is served, and nothing else', async () => {
  const files = readdirSync(join(repository, 'sidecar', 'admin', 'page')).map(name => `/page/${name}`)
  assert.deepEqual(PAGE_PATHS.slice(1).sort(), files.filter(path => path !== '/page/index.html').sort())
  await using proxy = await startHopwise(yaml)
  for (const path of [
    '/page/',
    '/page/index.html',
    '/page/../admin-handler.ts',
    '/page/%2e%2e/message.ts',
    '/page/constructor',
  ]) {
    assert.equal((await fetchRaw(proxy.adminPort, { path })).status, 404, path)
  }
  const head = await fetchRaw(proxy.adminPort, { path: '/', method: 'HEAD' })
  assert.deepEqual([head.status, head.text], [200, ''])
  // Envoy's list of commands has moved, and is one click away.
  assert.match((await fetchRaw(proxy.adminPort, { path: '/endpoints' })).text, /<a href='clusters'>|id='clusters'/)
})

test('allow_paths holds for the page too', async () => {
  const admin =
    'admin: {allow_paths: [{exact: /ready}], address: {socket_address: {address: 127.0.0.1, port_value: PORT}}}'
  const [adminPort] = await freePorts(1)
  await using proxy = await startHopwise(`${admin.replace('PORT', String(adminPort))}\n${yaml}`, {
    adminPort: adminPort!,
  })
  assert.equal((await fetchRaw(proxy.adminPort, { path: '/' })).status, 403)
  assert.equal((await fetchRaw(proxy.adminPort, { path: '/mesh' })).status, 403)
})
