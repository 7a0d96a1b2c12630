/** What a connection of a listener that a reload removes is answered next, by `--drain-strategy`. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { TestClient } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import { localCluster, oneListener } from '../kit/one-listener.ts'
import { waitFor } from '../kit/wait-for.ts'

async function afterRemoval(args: readonly string[]): Promise<string | undefined> {
  await using upstream = await FakeUpstream.start([{ body: 'ok' }])
  const [port, next, adminPort] = (await freePorts(3)) as [number, number, number]
  const admin = `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${adminPort}}}}\n`
  const clusters = [localCluster('app', upstream.port)]
  const before = admin + oneListener({ port, name: 'before', clusters })
  await using proxy = await startHopwise(before, { adminPort, args: ['--no-watch', ...args] })
  const client = await TestClient.connect(port)
  assert.equal((await client.request({})).header('connection'), undefined)
  writeFileSync(proxy.configPath, admin + oneListener({ port: next, name: 'after', clusters }))
  proxy.process.signal('SIGHUP')
  await proxy.process.waitForLine('configuration reloaded')
  const { header, text } = await client.request({})
  assert.equal(text, 'ok')
  client.socket.destroy()
  return header('connection')
}

test('the connection of a removed listener goes on at first, for its drain has just begun', async () => {
  assert.equal(await afterRemoval([]), undefined)
})

test('gradually, a connection without requests is told after half of the drain time, and has the rest of it to end', async () => {
  const [port, next, adminPort] = (await freePorts(3)) as [number, number, number]
  const admin = `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${adminPort}}}}\n`
  await using upstream = await FakeUpstream.start([{ body: 'ok' }])
  const clusters = [localCluster('app', upstream.port)]
  const args = ['--no-watch', '--drain-time-s', '8']
  await using proxy = await startHopwise(admin + oneListener({ port, name: 'before', clusters }), { adminPort, args })
  const client = await Http2TestClient.connect(port)
  await client.request({})
  writeFileSync(proxy.configPath, admin + oneListener({ port: next, name: 'after', clusters }))
  proxy.process.signal('SIGHUP')
  await proxy.process.waitForLine('configuration reloaded')
  await waitFor(() => client.goaway !== undefined, { deadlineMs: 20_000, what: 'GOAWAY' })
  await client.closed
})

test('with --drain-strategy immediate it ends with the next response', async () => {
  assert.equal(await afterRemoval(['--drain-strategy', 'immediate']), 'close')
})
