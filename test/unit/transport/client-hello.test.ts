import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, test } from 'node:test'
import tls from 'node:tls'
import { type ClientHello, parseClientHello } from '../../../sidecar/transport/tls/client-hello.ts'

/** What Node's own client says first. */
async function helloOf(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = tls.connect({ ...options, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return bytes
}

describe('a ClientHello', () => {
  test('tells the name in lower case, the protocols in order, and what the client can do', async () => {
    const ciphers = 'TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES128-GCM-SHA256'
    const bytes = await helloOf({ servername: 'Orders.Example', ALPNProtocols: ['h2', 'http/1.1'], ciphers })
    assert.deepEqual(parseClientHello(bytes), {
      ciphers: [0x1302, 0xc02f],
      serverName: 'orders.example',
      alpn: ['h2', 'http/1.1'],
      offersTls13: true,
      takesTickets: true,
      takesEcdsa: true,
      ticketKeyName: '',
    })
  })

  test('of a TLS 1.2 client offers no 1.3; without names and protocols there are none', async () => {
    const hello = parseClientHello(await helloOf({ maxVersion: 'TLSv1.2' })) as ClientHello
    assert.equal(hello.offersTls13, false)
    assert.equal(hello.serverName, '')
    assert.deepEqual(hello.alpn, [])
  })

  test('is asked for more at every split, and the same when it is whole', async () => {
    const bytes = await helloOf({ servername: 'a.test' })
    for (let end = 0; end < bytes.length; end++)
      assert.equal(parseClientHello(bytes.subarray(0, end)), 'more', `${end}`)
    assert.equal((parseClientHello(bytes) as ClientHello).serverName, 'a.test')
  })

  test('may be spread over many records', async () => {
    const bytes = await helloOf({ servername: 'a.test', ALPNProtocols: ['h2'] })
    const message = bytes.subarray(5)
    const records: Buffer[] = []
    for (let at = 0; at < message.length; at += 7) {
      const part = message.subarray(at, at + 7)
      records.push(Buffer.of(22, 3, 1, 0, part.length), part)
    }
    const spread = Buffer.concat(records)
    const hello = parseClientHello(spread) as ClientHello
    assert.equal(hello.serverName, 'a.test')
    assert.deepEqual(hello.alpn, ['h2'])
    for (let end = 0; end < spread.length; end++) assert.equal(parseClientHello(spread.subarray(0, end)), 'more')
  })

  test('is none when the first byte is not a handshake', () => {
    for (const text of [
      'GET / HTTP/1.1\r\n',
      'PRI * HTTP/2.0',
      '\x80\x2e\x01\x03\x01',
      '\x16\x05\x01\x00\x05',
      '\x15',
    ]) {
      assert.equal(parseClientHello(Buffer.from(text, 'latin1')), 'not_tls', JSON.stringify(text))
    }
  })

  test('is malformed when another message, or another record, stands where it should', () => {
    assert.equal(parseClientHello(Buffer.of(22, 3, 1, 0, 4, 2, 0, 0, 0)), 'malformed')
    assert.equal(parseClientHello(Buffer.of(22, 3, 1, 0, 1, 1, 23, 3, 1, 0, 1, 0)), 'malformed')
  })

  test('is too large when it says so, or goes on beyond the limit', () => {
    assert.equal(parseClientHello(Buffer.of(22, 3, 1, 0x40, 0, 1, 0, 0x80, 0)), 'too_large')
    const endless = Buffer.concat([Buffer.of(22, 3, 1, 1, 0, 1, 0, 0, 200), Buffer.alloc(60)])
    assert.equal(parseClientHello(endless, 64), 'too_large')
  })

  test('with any byte changed is read, or refused, but never throws', async () => {
    const bytes = await helloOf({ servername: 'a.test', ALPNProtocols: ['h2', 'http/1.1'] })
    const answers = new Set<string>()
    let seed = 1
    for (let round = 0; round < 20_000; round++) {
      const changed = Buffer.from(bytes)
      for (let i = 0; i < 1 + (round % 3); i++) {
        seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
        changed[(seed >> 8) % changed.length] = seed & 255
      }
      const cut = round % 5 === 0 ? changed.subarray(0, seed % changed.length) : changed
      const result = parseClientHello(cut)
      answers.add(typeof result === 'string' ? result : 'hello')
    }
    // All of these must be reached, or the bytes changed were none that matter.
    for (const wanted of ['hello', 'more', 'not_tls', 'malformed']) assert.ok(answers.has(wanted), wanted)
  })
})
