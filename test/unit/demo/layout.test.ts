import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { parseBehaviour } from '../../../demo-services/behaviour.ts'
import { speakHttp2 } from '../../../demo-services/http2.ts'
import { configurationOf, fillTemplate, type Ports, SIDECARS } from '../../../demo-services/layout.ts'
import { loadBootstrap } from '../../../sidecar/config/bootstrap.ts'

const instance = { app: 1001, ops: 1002, ingress: 1003, egress: 1004, admin: 1005 }
const ports: Ports = {
  edge: 1010,
  page: 1011,
  traceStore: 1012,
  blackHole: 1013,
  dns: 1014,
  of: Object.fromEntries([...SIDECARS, 'outside'].map(name => [name, instance])),
}

test('every configuration of the demo loads without an error or a warning, strictly', () => {
  for (const name of SIDECARS) {
    const plain = configurationOf(name, ports, '/tmp')
    for (const text of [plain, speakHttp2(plain)]) {
      const { errors, warnings, bootstrap } = loadBootstrap({ text, file: `${name}.yaml`, strict: true })
      assert.deepEqual(errors, [], name)
      assert.deepEqual(warnings, [], name)
      assert.equal(bootstrap?.node?.id, name)
      assert.equal(bootstrap?.node?.cluster, name.startsWith('d') ? 'd' : name)
    }
  }
})

test('with --http2 every cluster that is a service speaks it, and no other but the application behind gRPC', () => {
  const spoken = (text: string) => {
    const { static_resources } = parse(text) as { static_resources: { clusters: Record<string, unknown>[] } }
    const { clusters } = static_resources
    return clusters.filter(cluster => cluster['typed_extension_protocol_options'] !== undefined).map(({ name }) => name)
  }
  const config = (name: string) => configurationOf(name, ports, '/tmp')
  assert.deepEqual(SIDECARS.slice(0, 4).map(config).map(spoken), [[], ['b'], ['app'], []])
  assert.deepEqual(SIDECARS.slice(0, 5).map(config).map(speakHttp2).map(spoken), [
    ['a'],
    ['b'],
    ['app', 'c'],
    ['d'],
    [],
  ])
})

test('a placeholder without a value is an error, not a port 0', () => {
  const placeholder = (name: string) => `\${${name}}`
  assert.equal(fillTemplate(`port_value: ${placeholder('A_PORT')}`, { A_PORT: 80 }), 'port_value: 80')
  assert.throws(() => fillTemplate(placeholder('NO_PORT'), {}), /wants \$\{NO_PORT\}/)
})

test('a behaviour is checked before it is taken', () => {
  assert.deepEqual(parseBehaviour('{"status": 500}'), { status: 500 })
  assert.deepEqual(parseBehaviour(''), {})
  assert.match(String(parseBehaviour('{"stauts": 500}')), /no setting 'stauts'; there are path, status/)
  assert.equal(parseBehaviour('{"status": "500"}'), 'status must be a number')
  assert.equal(parseBehaviour('[]'), 'an object is wanted')
})
