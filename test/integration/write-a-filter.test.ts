import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readDoc } from '../kit/docs-page.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort, freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { repository } from '../kit/install-once.ts'
import { TestProcess } from '../kit/process.ts'
import { ProxyProcess, temporaryFile, temporaryFolder, withAdmin } from '../kit/proxy-process.ts'

const page = readDoc('write-a-filter.md')

function block(language: string): string {
  const match = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'm').exec(page)
  assert.ok(match, `the page has a ${language} block`)
  return match[1]!
}

function configuration(listen: number, upstream: number): string {
  const filters = block('yaml').replace(/^/gm, '          ')
  return `
static_resources:
  listeners:
  - name: out
    address: { socket_address: { address: 127.0.0.1, port_value: ${listen} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: out
          route_config:
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: up } }] }]
${filters}
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstream} } } }
`
}

async function greets(listen: number, proxy: ProxyProcess): Promise<void> {
  const response = await fetchRaw(listen, { path: '/' })
  assert.equal(response.status, 200)
  assert.ok(
    response.headers.some(([name, value]) => name === 'x-greeting' && value === 'hello'),
    JSON.stringify(response.headers),
  )
  assert.match(await proxy.admin('/stats?filter=greeted'), /http\.out\.greeting\.greeted: 1/)
}

describe('sidecar/docs/write-a-filter.md', () => {
  test('the page is one page', () => {
    assert.ok(page.split('\n').length <= 90, `${page.split('\n').length} lines`)
  })

  test('its filter runs with --extension', async () => {
    await using upstream = await FakeUpstream.start()
    const listen = await freePort()
    const file = temporaryFile('greeting.ts', block('ts'))
    await using proxy = await startHopwise(configuration(listen, upstream.port), { args: ['--extension', file] })
    await greets(listen, proxy)
  })

  test('a mistake in its configuration is told with its place', async () => {
    const file = temporaryFile('greeting.ts', block('ts'))
    const yaml = configuration(1, 2).replace('text: hello', 'text: 5')
    await using proxy = await startHopwise(yaml, { args: ['--extension', file], wait: false })
    assert.equal(await proxy.process.exited, 1)
    assert.match(proxy.process.output, /envoy\.yaml:\d+:\d+: .*http_filters\[0\].*text: must be a string/)
  })

  test('its filter ships with one line in extensions.ts', async () => {
    await using upstream = await FakeUpstream.start()
    const [listen, admin] = await freePorts(2)
    const copy = temporaryFolder()
    cpSync(join(repository, 'sidecar'), join(copy, 'sidecar'), { recursive: true })
    cpSync(join(repository, 'package.json'), join(copy, 'package.json'))
    symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'))
    mkdirSync(join(copy, 'sidecar', 'filters', 'http'), { recursive: true })
    writeFileSync(join(copy, 'sidecar', 'filters', 'http', 'greeting.ts'), block('ts'))
    const extensions = join(copy, 'sidecar', 'extensions.ts')
    const source = readFileSync(extensions, 'utf8')
    const changed = source
      .replace('const httpFilters: readonly AnyHttpFilterFactory[] = [\n', line => `${line}  greeting,\n`)
      .replace(/^import /m, "import { greeting } from './filters/http/greeting.ts'\nimport ")
    assert.notEqual(changed, source)
    writeFileSync(extensions, changed)
    const path = temporaryFile('envoy.yaml', withAdmin(configuration(listen!, upstream.port), admin!))
    await using process = TestProcess.start(join(copy, 'sidecar', 'bin', 'hopwise'), ['run', '-c', path])
    const proxy = new ProxyProcess(process, admin!, path)
    await proxy.waitReady()
    await greets(listen!, proxy)
  })
})
