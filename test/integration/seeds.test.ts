/**
 * The configurations that people paste in first, run: each as it stands, but for what this machine cannot give, its ports
 * and the names of its services (002, which is about TLS, is in tls.test.ts).
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'

const seed = (name: string) => readFileSync(join(import.meta.dirname, '../seed-configs', name), 'utf8')

test('seed 000 goes round its three services, warned of for what Envoy refuses', async () => {
  await using one = await FakeUpstream.start([{ status: 200, body: 'one' }])
  await using two = await FakeUpstream.start([{ status: 200, body: 'two' }])
  await using three = await FakeUpstream.start([{ status: 200, body: 'three' }])
  const listen = await freePort()
  let yaml = seed('000-round-robin.yaml')
    .replace('0.0.0.0', '127.0.0.1')
    .replace('port_value: 10000', `port_value: ${listen}`)
  ;[one, two, three].forEach(({ port }, i) => {
    yaml = yaml.replace(/address: service\d\n(\s+)port_value: 8080/, `address: localhost\n$1port_value: ${port}`)
    assert.ok(yaml.includes(`port_value: ${port}`), `service ${i + 1} is there`)
  })
  await using proxy = await startHopwise(yaml)
  const answers: string[] = []
  for (let i = 0; i < 6; i++) answers.push((await fetchRaw(listen, {})).text)
  assert.equal(new Set(answers.slice(0, 3)).size, 3, 'each once')
  assert.deepEqual(answers.slice(3), answers.slice(0, 3), 'and again in that order')
  assert.match(proxy.process.output, /LOGICAL_DNS takes one name and there are 3: treated as STRICT_DNS/)
  assert.match(proxy.process.output, /envoy\.filters\.http\.router\\?" has no typed_config/)
})

test('seed 003 passes a request on to its service, and says when that is away', async () => {
  await using service = await FakeUpstream.start([{ status: 200, body: 'Hello from service!' }])
  const listen = await freePort()
  const yaml = seed('003-first-proxy.yaml')
    .replace('0.0.0.0', '127.0.0.1')
    .replace('port_value: 10000', `port_value: ${listen}`)
    .replace('port_value: 8080', `port_value: ${service.port}`)
  await using _proxy = await startHopwise(yaml)
  const answer = await fetchRaw(listen, { path: '/service' })
  assert.deepEqual([answer.status, answer.text, answer.header('server')], [200, 'Hello from service!', 'envoy'])
  const [request] = service.requests
  assert.deepEqual([request?.target, request?.header('x-forwarded-proto')], ['/service', 'http'])
  await service.close()
  const away = await fetchRaw(listen, { path: '/service' })
  assert.equal(away.status, 503)
  assert.match(away.text, /^upstream connect error or disconnect\/reset before headers/)
})
