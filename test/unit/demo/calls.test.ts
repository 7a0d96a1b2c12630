import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { HttpCalls } from '../../../demo-services/calls.ts'

test('a WebSocket is asked for in HTTP/1.1 of the host that is meant, and a refusal is a failure', async t => {
  const asked: string[] = []
  const egress = createServer()
  egress.on('upgrade', ({ headers, url }, socket) => {
    asked.push(`${headers.host}${url} ${headers.upgrade} ${headers['x-request-id']}`)
    const refused = headers.host === 'c'
    socket.end(
      refused
        ? 'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'
        : 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    )
  })
  await new Promise<void>(resolve => egress.listen(0, '127.0.0.1', resolve))
  t.after(() => egress.close())
  const calls = new HttpCalls((egress.address() as AddressInfo).port, true)
  await calls.upgrade('b', '/live', { 'x-request-id': 'one' }, undefined)
  await assert.rejects(calls.upgrade('c', '/', { 'x-request-id': 'two' }, undefined), /^Error: 403$/)
  assert.deepEqual(asked, ['b/live websocket one', 'c/ websocket two'])
  await assert.rejects(calls.upgrade('b', '/', {}, AbortSignal.abort()), { name: 'AbortError' })
})
