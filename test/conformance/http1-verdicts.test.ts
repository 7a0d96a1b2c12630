/**
 * Envoy 1.40 on the requests of `test/corpus/http1/`: what we accept it has to accept, what we refuse it has to refuse with
 * the same status, except for what `http1-verdicts.allowed.ts` lists with the reason. An entry that no longer differs
 * fails, and so does one for a case that is gone.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { freePorts } from '../kit/free-port.ts'
import { type CorpusCase, readCorpus } from '../unit/codec/http1/corpus.ts'
import { eventLog } from '../unit/codec/http1/event-log.ts'
import { ALLOWED_DIFFERENCES } from './http1-verdicts.allowed.ts'
import { compareVerdicts } from './verdicts.ts'

/** Parser options and Envoy's fields for them; a listener each. */
const LISTENERS: readonly (readonly [options: string, field: string])[] = [
  ['', ''],
  ['acceptHttp10', 'accept_http_10: true, default_host_for_http_10: a'],
  ['allowCustomMethods', 'allow_custom_methods: true'],
  ['allowChunkedLength', 'allow_chunked_length: true'],
]

/** The buffer filter holds the answer back until the body has come, so that a mistake in the body decides it. */
function listener(port: number, index: number): string {
  return `
  - name: l${index}
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP1
          stat_prefix: l${index}
          http_protocol_options: {${LISTENERS[index]![1]}}
          upgrade_configs: [{upgrade_type: CONNECT, filters: [${ROUTER}]}, {upgrade_type: websocket, filters: [${ROUTER}]}]
          route_config:
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
              - {match: {prefix: "/"}, direct_response: {status: 200}}
              - {match: {connect_matcher: {}}, direct_response: {status: 200}}
          http_filters:
          - name: envoy.filters.http.buffer
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
              max_request_bytes: 1048576
          - ${ROUTER}`
}

const ROUTER =
  '{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}'

/** Long enough for a proxy on the same machine to answer, when an answer is due. */
const ANSWER_MS = 3000
/** How long to wait for an answer where none is expected. */
const SILENCE_MS = 200

/** Statuses in order; what comes while the message is incomplete is nothing. */
function ourVerdict({ kind, bytes, setting }: CorpusCase): string {
  let out = ''
  for (const { text } of eventLog(kind, [bytes], { ...setting, fin: false })) {
    if (text === 'end' || /^head .* tunnel[ (]/.test(text.split('\n')[0]!)) out += '200 '
    if (text.startsWith('error ')) out += `${text.split(' ')[2]} `
  }
  return out.trim()
}

function envoyVerdict(port: number, bytes: Buffer, expected: string): Promise<string> {
  return new Promise(resolve => {
    let received = ''
    const statuses = () =>
      [...received.matchAll(/HTTP\/1\.[01] (\d+) /g)]
        .map(match => match[1]!)
        .filter(status => status !== '100')
        .join(' ')
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(bytes))
    const timer = setTimeout(() => socket.destroy(), expected === '' ? SILENCE_MS : ANSWER_MS)
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
      // All that is expected has come; what else may come does so soon.
      if (statuses() === expected) setTimeout(() => socket.destroy(), 30)
      else if (received.length > 0) setTimeout(() => socket.destroy(), SILENCE_MS)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(statuses())
    })
  })
}

test('Envoy gives the same verdict on every request of the corpus', { timeout: 120_000 }, async () => {
  // Other limits than Envoy's own cannot be set in Envoy to the byte; what a tunnel carries is not judged by the codec.
  const cases = readCorpus().filter(
    ({ kind, setting }) =>
      kind === 'request' && Object.keys(setting.limits ?? {}).length === 0 && setting.tunnel !== true,
  )
  assert.ok(cases.length > 200)
  const ports = await freePorts(LISTENERS.length)
  const yaml = `static_resources:\n  listeners:${ports.map(listener).join('')}\n`
  await using envoy = await startEnvoy(yaml)
  await envoy.waitReady()

  await compareVerdicts(cases, ALLOWED_DIFFERENCES, async one => {
    const options = Object.keys(one.setting.options ?? {}).join()
    const port = ports[LISTENERS.findIndex(([name]) => name === options)]
    assert.ok(port !== undefined, `no listener for ${options}`)
    const ours = ourVerdict(one)
    return { ours, theirs: await envoyVerdict(port, one.bytes, ours) }
  })
})
