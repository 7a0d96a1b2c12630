import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBehaviour } from '../../../demo-services/behaviour.ts'
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
    const text = configurationOf(name, ports, '/tmp')
    const { errors, warnings, bootstrap } = loadBootstrap({ text, file: `${name}.yaml`, strict: true })
    assert.deepEqual(errors, [], name)
    assert.deepEqual(warnings, [], name)
    assert.equal(bootstrap?.node?.id, name)
    assert.equal(bootstrap?.node?.cluster, name.startsWith('d') ? 'd' : name)
  }
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
