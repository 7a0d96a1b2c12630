/**
 * Envoy 1.40 on what clients send in `test/corpus/http2/`: each request is answered, reset with a code or left alone, and
 * the connection goes on or ends with a code, as our codec decides, except for what `http2-verdicts.allowed.ts` lists with
 * the reason. An entry that no longer differs fails, and so does one for a case that is gone.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FramePeer } from '../kit/frame-peer.ts'
import { freePorts } from '../kit/free-port.ts'
import { type CorpusCase, readCorpus } from '../unit/codec/http2/corpus.ts'
import { run } from '../unit/codec/http2/event-log.ts'
import { framesOf } from '../unit/codec/http2/frames.ts'
import { ALLOWED_DIFFERENCES } from './http2-verdicts.allowed.ts'
import { bootstrap, httpListener, type Json, router, typed } from './scenarios/bootstrap.ts'
import { compareVerdicts } from './verdicts.ts'

type Fields = { readonly [key: string]: Json }

/** Envoy's fields for options of the codec; a limit in bytes cannot be set in Envoy to the byte. */
const OPTIONS: Readonly<Record<string, (value: boolean | number | string) => { http2?: Fields; common?: Fields }>> = {
  streamErrorOnInvalidHttpMessage: value => ({ http2: { override_stream_error_on_invalid_http_message: value } }),
  allowConnect: value => ({ http2: { allow_connect: value } }),
  disallowObsText: value => ({ http2: { disallow_obs_text: value, use_oghttp2_codec: true } }),
  initialStreamWindowSize: value => ({ http2: { initial_stream_window_size: value } }),
  initialConnectionWindowSize: value => ({ http2: { initial_connection_window_size: value } }),
  maxConcurrentStreams: value => ({ http2: { max_concurrent_streams: value } }),
  maxHeaders: value => ({ common: { max_headers_count: value } }),
  maxOutboundControlFrames: value => ({ http2: { max_outbound_control_frames: value } }),
  underscoresInHeaders: value => ({ common: { headers_with_underscores_action: value } }),
}

/** A request is answered once it is complete, for which the buffer filter waits; a tunnel at once. */
function listener(name: string, options: CorpusCase['setting']['options'] = {}): Json {
  const fields = Object.entries(options).map(([key, value]) => OPTIONS[key]!(value as string))
  const buffer = {
    name: 'envoy.filters.http.buffer',
    typed_config: typed('http.buffer.v3.Buffer', { max_request_bytes: 1 << 20 }),
  }
  return httpListener({
    name,
    routes: [
      { match: { prefix: '/' }, direct_response: { status: 200 } },
      { match: { connect_matcher: {} }, direct_response: { status: 200 } },
    ],
    filters: [buffer],
    manager: {
      access_log: [],
      codec_type: 'HTTP2',
      delayed_close_timeout: '0.05s',
      http2_protocol_options: Object.assign({}, ...fields.map(({ http2 }) => http2)),
      common_http_protocol_options: Object.assign({}, ...fields.map(({ common }) => common)),
      upgrade_configs: ['CONNECT', 'websocket'].map(upgrade_type => ({ upgrade_type, filters: [router] })),
    },
  })
}

/** What says that all has been looked at is part of the input: inside of a header block it ends the connection. */
const SETTLED = framesOf('PING hex:0000000000000000')

function ourVerdict({ bytes, setting }: CorpusCase): string {
  const { log, sent } = run('server', [bytes, SETTLED], { ...setting, answer: true })
  const goAway = sent.map(line => /^GOAWAY \d+ (\w+)/.exec(line)?.[1]).find(Boolean)
  if (goAway !== undefined) return `GOAWAY ${goAway}`
  const verdicts = new Map<number, string>()
  for (const line of log) {
    const first = line.split('\n')[0]!
    const [, id] = /^(?:request|data|trailers) (\d+)/.exec(first) ?? []
    if (id === undefined) continue
    const isTunnel = first.startsWith('request') && /CONNECT| protocol=/.test(first)
    if (isTunnel || first.endsWith(' end') || first.startsWith('trailers')) verdicts.set(Number(id), 'answered')
  }
  for (const line of sent) {
    const [, id, code] = /^RST_STREAM (\d+) (\w+)/.exec(line) ?? []
    if (id !== undefined) verdicts.set(Number(id), `reset ${code}`)
  }
  return [...verdicts]
    .sort(([a], [b]) => a - b)
    .map(([id, text]) => `${id}: ${text}`)
    .join(', ')
}

/** Where Envoy closes without a word, any code of ours will do. */
async function envoyVerdict(port: number, bytes: Buffer, ours: string): Promise<string> {
  using peer = FramePeer.connect(port, bytes)
  await peer.settled()
  const story = peer.story()
  const goAway = story.find(line => line.startsWith('GOAWAY') && line !== 'GOAWAY NO_ERROR')
  if (goAway !== undefined) return goAway
  if (story.includes('over')) return ours.startsWith('GOAWAY') ? ours : 'closed'
  return (
    story
      .map(line => /^stream (\d+): (?:\d+|.*?(reset \w+))/.exec(line))
      .filter(match => match !== null)
      // With which status is not the codec's business.
      .map(([, id, reset = 'answered']) => `${id}: ${reset}`)
      .join(', ')
  )
}

test('Envoy gives the same verdict on what clients send in the corpus', { timeout: 120_000 }, async () => {
  // To a client that has said GOAWAY Envoy says nothing more, not even that it has heard.
  const cases = readCorpus().filter(
    ({ role, setting, log }) =>
      role === 'server' && Object.keys(setting.options ?? {}).every(key => key in OPTIONS) && !/^goaway /m.test(log),
  )
  assert.ok(cases.length > 140)
  const settings = [...new Set(cases.map(({ setting }) => JSON.stringify(setting.options ?? {})))]
  const [adminPort, ...ports] = (await freePorts(settings.length + 1)) as [number, ...number[]]
  let yaml = bootstrap({
    listeners: settings.map((setting, i) => listener(`l${i}`, JSON.parse(setting))),
    clusters: [],
  }).replaceAll('{{admin}}', String(adminPort))
  for (const [i, port] of ports.entries()) yaml = yaml.replaceAll(`{{listen:l${i}}}`, String(port))
  await using _envoy = await startEnvoy(yaml, { adminPort })

  await compareVerdicts(cases, ALLOWED_DIFFERENCES, async one => {
    const port = ports[settings.indexOf(JSON.stringify(one.setting.options ?? {}))]!
    const ours = ourVerdict(one)
    return { ours, theirs: await envoyVerdict(port, one.bytes, ours) }
  })
})
