import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { createServer, request as requestTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import http2wrapper from 'http2-wrapper'
import { CertificateAuthority } from '../../demo-services/certificate-authority.ts'
import { freePort } from '../kit/free-port.ts'
import { hopwiseValidates, startHopwise } from '../kit/hopwise.ts'
import { localCluster, oneListener, upstreamProtocol } from '../kit/one-listener.ts'

const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'
const authority = new CertificateAuthority()
const { chain, key } = authority.issue({ subject: { CN: 'localhost' }, dns: ['localhost'], ips: ['127.0.0.1'] })

const DOWNSTREAM_TLS = {
  name: 'tls',
  typed_config: {
    '@type': `${TYPE}.DownstreamTlsContext`,
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      tls_certificates: [{ certificate_chain: { inline_string: chain }, private_key: { inline_string: key } }],
    },
  },
}
const UPSTREAM_TLS = {
  name: 'tls',
  typed_config: {
    '@type': `${TYPE}.UpstreamTlsContext`,
    common_tls_context: { validation_context: { trusted_ca: { inline_string: authority.certificate } } },
  },
}

const configuration = (listen: number, upstream: number, tls: object | 'plaintext' = UPSTREAM_TLS) =>
  oneListener({
    port: listen,
    clusters: [
      localCluster('app', upstream, {
        ...(tls !== 'plaintext' && { transport_socket: tls }),
        ...upstreamProtocol({ auto_config: { http_protocol_options: {}, http2_protocol_options: {} } }),
      }),
    ],
    routes: {
      response_headers_to_add: [{ header: { key: 'x-protocols', value: '%PROTOCOL% %UPSTREAM_PROTOCOL%' } }],
    },
    transportSocket: DOWNSTREAM_TLS,
  })

/** Answers with the protocol it was asked in; without `h2` it knows HTTP/1.1 only. */
async function upstreamOf(h2: boolean) {
  const answer = (request: { httpVersion: string }, response: { end(text: string): void }) =>
    response.end(`asked in ${request.httpVersion}`)
  const server = h2
    ? http2.createSecureServer({ key, cert: chain, allowHTTP1: true }, answer)
    : createServer({ key, cert: chain }, answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await new Promise(resolve => {
        server.close(resolve)
        if ('closeAllConnections' in server) server.closeAllConnections()
      })
    },
  }
}

interface Answer {
  protocols: string
  body: string
}

async function read(response: NodeJS.ReadableStream & { headers: NodeJS.Dict<string | string[]> }): Promise<Answer> {
  let body = ''
  for await (const part of response) body += String(part)
  return { protocols: String(response.headers['x-protocols']), body }
}

/** `http2-wrapper` negotiates, as the services of the demo do; `node:https` offers HTTP/1.1. */
async function ask(port: number, h2: boolean): Promise<Answer> {
  const options = { hostname: '127.0.0.1', port, path: '/', ca: authority.certificate, servername: 'localhost' }
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const onResponse = (response: Parameters<typeof read>[0]) => read(response).then(resolve, reject)
  const request = h2
    ? await http2wrapper.auto(`https://127.0.0.1:${port}/`, options as never, onResponse as never)
    : requestTls({ ...options, agent: false }, onResponse as never)
  request.on('error', reject)
  request.end()
  return await promise
}

for (const h2 of [true, false]) {
  test(`auto_config: an upstream that ${h2 ? 'speaks HTTP/2 is asked in it' : 'knows HTTP/1.1 only gets that'}`, async () => {
    await using upstream = await upstreamOf(h2)
    const listen = await freePort()
    await using proxy = await startHopwise(configuration(listen, upstream.port))
    const version = h2 ? 'HTTP/2' : 'HTTP/1.1'
    const body = `asked in ${h2 ? '2.0' : '1.1'}`
    assert.deepEqual(await ask(listen, true), { protocols: `HTTP/2 ${version}`, body })
    assert.deepEqual(await ask(listen, false), { protocols: `HTTP/1.1 ${version}`, body })
    const stats = await proxy.stats('^cluster.app.upstream_cx_http')
    assert.equal(stats.get(`cluster.app.upstream_cx_http${h2 ? 2 : 1}_total`), 1)
    assert.equal(stats.get(`cluster.app.upstream_cx_http${h2 ? 1 : 2}_total`), 0)
    http2wrapper.globalAgent.destroy()
  })
}

test('auto_config needs a transport that can negotiate', async () => {
  const { ok, output } = await hopwiseValidates(configuration(1, 1, 'plaintext'))
  assert.equal(ok, false)
  assert.match(output, /auto_config/)
})
