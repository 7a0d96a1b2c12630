import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type InspectedSocket, ListenerFilterStatus } from '../../../../sidecar/filter-chain/listener-filter.ts'
import { httpInspector } from '../../../../sidecar/filters/listener/http-inspector.ts'
import { tlsInspector } from '../../../../sidecar/filters/listener/tls-inspector.ts'
import { StatsStore } from '../../../../sidecar/observability/stats-store.ts'

const address = { ip: '127.0.0.1', port: 1 }
const socket = (): InspectedSocket => ({
  local: address,
  remote: address,
  transportProtocol: '',
  serverName: '',
  applicationProtocols: [],
})

const cases: [text: string, status: number, protocols: string[]][] = [
  ['GET / HTTP/1.1\r\n', ListenerFilterStatus.Done, ['http/1.1']],
  ['\r\nGET /a?b HTTP/1.0\r\nhost: x', ListenerFilterStatus.Done, ['http/1.0']],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', ListenerFilterStatus.Done, ['h2c']],
  ['PRI * HT', ListenerFilterStatus.More, []],
  ['G', ListenerFilterStatus.More, []],
  ['GET /long', ListenerFilterStatus.More, []],
  ['GET / HTTP/1.', ListenerFilterStatus.More, []],
  ['GET / HTTP/3.0\r\n', ListenerFilterStatus.Done, []],
  ['\0\x01', ListenerFilterStatus.Done, []],
  ['hello world\r\n', ListenerFilterStatus.Done, []],
]

for (const [text, status, protocols] of cases) {
  test(`http_inspector on ${JSON.stringify(text)}`, () => {
    const stats = new StatsStore()
    const filter = httpInspector.create({}, { stats })
    const found = socket()
    assert.equal(filter.inspect(Buffer.from(text, 'latin1'), found), status)
    assert.deepEqual(found.applicationProtocols, protocols)
  })
}

test('http_inspector leaves TLS to ALPN', () => {
  const filter = httpInspector.create({}, { stats: new StatsStore() })
  const found = { ...socket(), transportProtocol: 'tls', applicationProtocols: ['h2'] }
  assert.equal(filter.inspect(Buffer.of(22, 3, 1), found), ListenerFilterStatus.Done)
  assert.deepEqual(found.applicationProtocols, ['h2'])
})

test('tls_inspector waits for a hello, lets plaintext pass, and closes on one that is too large', () => {
  const stats = new StatsStore()
  const filter = tlsInspector.create({ maxClientHelloBytes: 256, closeOnParsingErrors: true }, { stats })
  assert.equal(filter.inspect(Buffer.of(22, 3, 1, 0), socket()), ListenerFilterStatus.More)
  assert.equal(filter.inspect(Buffer.from('GET / '), socket()), ListenerFilterStatus.Done)
  assert.equal(filter.inspect(Buffer.of(22, 3, 1, 2, 0, 1, 0, 2, 0), socket()), ListenerFilterStatus.Close)
  assert.equal(filter.inspect(Buffer.of(22, 3, 1, 0, 4, 2, 0, 0, 0), socket()), ListenerFilterStatus.Close)
  const count = (name: string) => stats.scope('tls_inspector').counter(name).value
  assert.equal(count('tls_not_found'), 2)
  assert.equal(count('client_hello_too_large'), 1)
})
