/** Frames that only a test sends, written as `test/unit/codec/http2/frames.ts` reads them. */
import type { Json } from './bootstrap.ts'

export interface DownstreamSetting {
  /** `http2_protocol_options` of the listener. */
  readonly options?: Json
  /** More of the connection manager. */
  readonly manager?: { readonly [key: string]: Json }
  /** Of the buffer filter; 1 MiB by default. */
  readonly maxRequestBytes?: number
  /** Body of the responses; none by default. */
  readonly body?: string
}

export interface DownstreamCase extends DownstreamSetting {
  readonly name: string
  /** What follows the preface and an empty SETTINGS; each part is sent when the one before has been dealt with. */
  readonly frames: string | readonly string[]
  /** Waits, behind all of them, for a PING of the proxy, or for the end of the connection. */
  readonly until?: 'PING' | 'over'
}

export interface UpstreamSetting {
  /** `http2_protocol_options` of the cluster. */
  readonly options?: Json
  /** More of its `HttpProtocolOptions`. */
  readonly protocol?: { readonly [key: string]: Json }
}

export interface UpstreamCase extends UpstreamSetting {
  readonly name: string
  /** What answers the request, on stream 1. */
  readonly frames: string
  /** A second request follows after so many milliseconds, which gets 200. */
  readonly secondAfterMs?: number
}

const head = (streamId: number, fields: string, method = 'GET', flags = 'end_headers end_stream') =>
  `HEADERS ${streamId} ${flags}\n  :method: ${method}\n  :scheme: http\n  :path: /\n  :authority: a\n${fields}`
const get = (streamId: number, fields = '') => head(streamId, fields)
const post = (streamId: number, fields = '') => head(streamId, fields, 'POST', 'end_headers')

const streamError = { override_stream_error_on_invalid_http_message: true }
/** Envoy looks at it in one of its two HTTP/2 libraries, not the one it takes by default. */
const obsText = { disallow_obs_text: true, use_oghttp2_codec: true }

const trailing = (streamId: number, fields: string) =>
  `${post(streamId)}DATA ${streamId} "a"\nHEADERS ${streamId} end_headers end_stream\n${fields}`

const times = (count: number, frames: (streamId: number) => string) =>
  Array.from({ length: count }, (_, i) => frames(2 * i + 1)).join('')

const keepAlive = (fields: { readonly [key: string]: Json }): Json => ({
  connection_keepalive: { timeout: '5s', interval_jitter: { value: 0 }, ...fields },
})

/** What a SETTINGS frame or the first WINDOW_UPDATE says of an option; what limits floods is in {@link floods}. */
const options: Readonly<Record<string, Json>> = {
  defaults: {},
  hpack_table_size: { hpack_table_size: 100 },
  'hpack_table_size of 0': { hpack_table_size: 0 },
  max_concurrent_streams: { max_concurrent_streams: 7 },
  initial_stream_window_size: { initial_stream_window_size: 70_000 },
  'initial_stream_window_size, the least': { initial_stream_window_size: 65_535 },
  initial_connection_window_size: { initial_connection_window_size: 100_000 },
  'initial_connection_window_size, the least': { initial_connection_window_size: 65_535 },
  allow_connect: { allow_connect: true },
  custom_settings_parameters: {
    custom_settings_parameters: [
      { identifier: 3, value: 50 },
      { identifier: 6, value: 5000 },
      { identifier: 0x77, value: 9 },
      { identifier: 0x77, value: 9 },
    ],
  },
}

/** `:method` to `:authority` by the static table, an entry of 100 characters added, and many references to it. */
const bomb = (references: number) =>
  `HEADERS 1 end_headers end_stream hex:82868441016140017864${'61'.repeat(100)}${'be'.repeat(references)}\n`

const floods: readonly DownstreamCase[] = [
  { name: 'flood of SETTINGS', options: { max_outbound_control_frames: 5 }, frames: '*20 SETTINGS\n' },
  { name: 'flood of PING', options: { max_outbound_control_frames: 5 }, frames: '*20 PING hex:0000000000000000\n' },
  {
    name: 'flood of malformed requests',
    options: { max_outbound_control_frames: 5, ...streamError },
    frames: times(20, id => get(id, '  X: y\n')),
  },
  {
    name: 'flood of responses',
    options: { max_outbound_frames: 10 },
    body: 'x',
    frames: times(20, get),
  },
  { name: 'empty DATA once', frames: `${post(1)}DATA 1\nDATA 1 "x"\nDATA 1\nDATA 1 end_stream\n` },
  { name: 'empty DATA', frames: `${post(1)}*2 DATA 1\n` },
  {
    name: 'empty DATA, more is allowed',
    options: { max_consecutive_inbound_frames_with_empty_payload: 3 },
    frames: [`${post(1)}*3 DATA 1\n`, 'DATA 1\n'],
  },
  { name: 'DATA of padding alone', frames: `${post(1)}*2 DATA 1 pad=5\n` },
  { name: 'empty HEADERS', frames: times(2, id => `HEADERS ${id} end_headers\n`) },
  { name: 'empty CONTINUATION', frames: 'HEADERS 1\n  :method: GET\n*3 CONTINUATION 1\n' },
  { name: 'CONTINUATION without end', frames: 'HEADERS 1\n  :method: GET\n*40 CONTINUATION 1 "\\{x*10000}"\n' },
  {
    name: 'CONTINUATION of many fields',
    frames: `HEADERS 1\n  :method: GET\n  :scheme: http\n  :path: /\n  :authority: a\n*40 CONTINUATION 1\n  x: \\{y*8000}\n`,
  },
  {
    name: 'as many PRIORITY as allowed',
    options: { max_inbound_priority_frames_per_stream: 2 },
    frames: `${get(1)}*4 PRIORITY 1 on=3\n`,
  },
  {
    name: 'flood of PRIORITY',
    options: { max_inbound_priority_frames_per_stream: 2 },
    frames: [`${get(1)}*4 PRIORITY 1 on=3\n`, 'PRIORITY 1 on=3\n'],
  },
  { name: 'as many WINDOW_UPDATE as allowed', frames: `${get(1)}*7 WINDOW_UPDATE 0 1\n` },
  { name: 'flood of WINDOW_UPDATE', frames: [get(1), '*8 WINDOW_UPDATE 0 1\n'] },
  {
    name: 'flood of WINDOW_UPDATE behind DATA',
    options: { max_inbound_window_update_frames_per_data_frame_sent: 1 },
    body: 'x',
    frames: [get(1), '*9 WINDOW_UPDATE 0 1\n', 'WINDOW_UPDATE 0 1\n'],
  },
  {
    name: 'HPACK bomb',
    frames: `${bomb(900)}${get(3)}`,
    manager: { common_http_protocol_options: { max_headers_count: 10_000 } },
  },
  { name: 'HPACK bomb of many fields', frames: `${bomb(200)}${get(3)}` },
]

const limits: readonly DownstreamCase[] = [
  {
    name: 'a body that is too large',
    maxRequestBytes: 10,
    frames: [`${post(1)}DATA 1 "longer than ten bytes"\n`, `DATA 1 end_stream "x"\n${get(3)}`],
  },
  {
    name: 'a body that is too large, in one piece',
    maxRequestBytes: 10,
    frames: `${post(1)}DATA 1 end_stream "longer than ten bytes"\n`,
  },
  {
    name: 'a head that is too large',
    manager: { max_request_headers_kb: 1 },
    frames: `${get(1, '  x: \\{y*2000}\n')}${get(3)}`,
  },
  {
    name: 'too many headers',
    manager: { common_http_protocol_options: { max_headers_count: 6 } },
    frames: `${get(1, '  a: b\n  a: b\n  a: b\n')}${get(3, '  a: b\n  c: d\n')}`,
  },
  {
    name: 'trailers that are too large',
    manager: { max_request_headers_kb: 1 },
    frames: `${trailing(1, '  x: \\{y*2000}\n')}${get(3)}`,
  },
  {
    name: 'too many trailers',
    manager: { common_http_protocol_options: { max_headers_count: 6 } },
    frames: `${trailing(1, '  a: b\n'.repeat(8))}${get(3)}`,
  },
  {
    name: 'underscores are rejected',
    manager: { common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' } },
    frames: `${get(1, '  a_b: c\n')}${get(3)}`,
  },
  {
    name: 'underscores are dropped',
    manager: { common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' } },
    frames: `${get(1, '  a_b: c\n')}${get(3)}`,
  },
  {
    name: 'underscores in trailers are rejected',
    manager: { common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' } },
    frames: `${trailing(1, '  a_b: c\n')}${get(3)}`,
  },
  {
    name: 'underscores in trailers are dropped',
    manager: { common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' } },
    frames: `${trailing(1, '  a_b: c\n')}${get(3)}`,
  },
  {
    name: 'too many streams',
    options: { max_concurrent_streams: 1 },
    frames: [`${post(1)}SETTINGS ack\n`, `${get(3)}DATA 1 end_stream\n`, get(5)],
  },
  {
    name: 'too many streams before the limit is known',
    options: { max_concurrent_streams: 1 },
    frames: `${post(1)}${get(3)}DATA 1 end_stream\n`,
  },
]

const malformedHeads: Readonly<Record<string, string>> = {
  'an upper-case name': get(1, '  X: y\n'),
  'a header of the connection': get(1, '  connection: close\n'),
  'te gzip': get(1, '  te: gzip\n'),
  'an unknown pseudo-header': get(1, '  :foo: b\n'),
  'a control character': get(1, '  x: a\\x01b\n'),
  'NUL in a value': get(1, '  x: a\\0b\n'),
  'no path': 'HEADERS 1 end_headers end_stream\n  :method: GET\n  :scheme: http\n  :authority: a\n',
  'no authority': 'HEADERS 1 end_headers end_stream\n  :method: GET\n  :scheme: http\n  :path: /\n',
  'a length without a body': get(1, '  content-length: 5\n'),
  'extended CONNECT':
    'HEADERS 1 end_headers\n  :method: CONNECT\n  :protocol: websocket\n  :scheme: http\n  :path: /\n  :authority: a\n',
  'a body too short': `${post(1, '  content-length: 5\n')}DATA 1 end_stream "abc"\n`,
  'a body too long': `${post(1, '  content-length: 2\n')}DATA 1 "abc"\n`,
  'pseudo-headers in trailers': trailing(1, '  :path: /b\n'),
  'an upper-case name in trailers': trailing(1, '  X: y\n'),
  'trailers without end': `${post(1)}HEADERS 1 end_headers\n  t: u\n`,
}

const malformed = Object.entries(malformedHeads).flatMap(([name, frames]): DownstreamCase[] => [
  { name, frames: [`${frames}${get(3)}`] },
  { name: `${name}, stream only`, options: streamError, frames: [`${frames}${get(3)}`] },
])

const outOfPlace: readonly DownstreamCase[] = [
  { name: 'DATA on an idle stream', frames: `${post(1)}DATA 5 "x"\n` },
  { name: 'DATA behind the end', frames: [get(1), 'DATA 1 "x"\n'] },
  { name: 'RST_STREAM of an idle stream', frames: 'RST_STREAM 1 CANCEL\n' },
  { name: 'RST_STREAM of a request', frames: `${post(1)}RST_STREAM 1 CANCEL\n${get(3)}` },
  { name: 'HEADERS on an even stream', frames: get(2) },
  { name: 'HEADERS on an older stream', frames: [get(5), get(3)] },
  { name: 'PUSH_PROMISE', frames: `${post(1)}PUSH_PROMISE 1 end_headers hex:00000002\n` },
  { name: 'CONTINUATION out of place', frames: 'CONTINUATION 1 end_headers\n' },
  { name: 'PING inside of a header block', frames: 'HEADERS 1\n  :method: GET\nPING hex:0000000000000000\n' },
  { name: 'a table that breaks', frames: 'HEADERS 1 end_headers end_stream hex:ff8f\n' },
  { name: 'WINDOW_UPDATE by 0', frames: `${post(1)}WINDOW_UPDATE 0 0\n` },
  { name: 'WINDOW_UPDATE of a stream by 0', frames: `${post(1)}WINDOW_UPDATE 1 0\n${get(3)}` },
  { name: 'WINDOW_UPDATE beyond the limit', frames: 'WINDOW_UPDATE 0 2147483647\n' },
  { name: 'SETTINGS of a bad window', frames: 'SETTINGS 4=2147483648\n' },
  { name: 'SETTINGS on a stream', frames: 'bytes 000000040000000001\n' },
  { name: 'SETTINGS of a bad size', frames: 'bytes 00000304000000000000000000\n' },
  { name: 'a frame that is too large', frames: 'bytes 004001000000000001\n' },
  { name: 'an unknown frame', frames: `FRAME 99 flags=1 1 "any"\n${get(1)}` },
  { name: 'METADATA', frames: `${post(1)}FRAME 77 flags=4 1 "any"\nDATA 1 end_stream\n` },
]

const obsTextFrames: readonly DownstreamCase[] = [
  { name: 'obs-text', frames: get(1, '  x: \\x80\n') },
  { name: 'obs-text, disallowed', options: obsText, frames: `${get(1, '  x: \\x80\n')}${get(3)}` },
  {
    name: 'obs-text, disallowed, stream only',
    options: { ...obsText, ...streamError },
    frames: `${get(1, '  x: \\x80\n')}${get(3)}`,
  },
  { name: 'obs-text in trailers, disallowed', options: obsText, frames: trailing(1, '  x: \\x80\n') },
  {
    name: 'obs-text in trailers, disallowed, stream only',
    options: { ...obsText, ...streamError },
    frames: trailing(1, '  x: \\x80\n'),
  },
]

export const downstreamCases: readonly DownstreamCase[] = [
  { name: 'a request', frames: get(1) },
  { name: 'a request with trailers', frames: trailing(1, '  t: u\n') },
  ...Object.entries(options).map(([name, value]) => ({ name: `option ${name}`, options: value, frames: get(1) })),
  { name: 'keep-alive', options: keepAlive({ interval: '0.05s' }), frames: post(1), until: 'PING' },
  {
    name: 'keep-alive that nobody answers',
    options: keepAlive({ interval: '0.05s', timeout: '0.05s' }),
    frames: post(1),
    until: 'over',
  },
  ...floods,
  ...limits,
  ...malformed,
  ...outOfPlace,
  ...obsTextFrames,
]

const ok = (fields = '', end = true) => `HEADERS 1 end_headers${end ? ' end_stream' : ''}\n  :status: 200\n${fields}`
const okTrailing = (fields: string) => `${ok('', false)}DATA 1 "a"\nHEADERS 1 end_headers end_stream\n${fields}`

const malformedResponses: Readonly<Record<string, string>> = {
  'an upper-case name': ok('  X: y\n'),
  'a header of the connection': ok('  connection: close\n'),
  'a control character': ok('  x: a\\x01b\n'),
  'no status': 'HEADERS 1 end_headers end_stream\n  x: y\n',
  'two statuses': ok('  :status: 201\n'),
  'a status that is none': 'HEADERS 1 end_headers end_stream\n  :status: 20\n',
  'status 101': 'HEADERS 1 end_headers\n  :status: 101\n',
  'a path': ok('  :path: /\n'),
  '100 with the end': 'HEADERS 1 end_headers end_stream\n  :status: 100\n',
  'a body too short': `${ok('  content-length: 5\n', false)}DATA 1 end_stream "abc"\n`,
  'a body too long': `${ok('  content-length: 2\n', false)}DATA 1 "abc"\n`,
  'an upper-case name in trailers': okTrailing('  X: y\n'),
  'pseudo-headers in trailers': okTrailing('  :status: 200\n'),
  'trailers without end': `${ok('', false)}DATA 1 "a"\nHEADERS 1 end_headers\n  t: u\n`,
}

export const upstreamCases: readonly UpstreamCase[] = [
  ...Object.entries(options).map(([name, value]) => ({
    name: `upstream, option ${name}`,
    options: value,
    frames: ok(),
  })),
  {
    name: 'upstream, keep-alive that nobody answers',
    options: keepAlive({ interval: '0.05s', timeout: '0.05s' }),
    frames: '',
  },
  {
    name: 'upstream, connection_idle_interval',
    options: keepAlive({ connection_idle_interval: '0.02s' }),
    frames: ok(),
    secondAfterMs: 60,
  },
  {
    name: 'upstream, not idle for connection_idle_interval',
    options: keepAlive({ connection_idle_interval: '60s' }),
    frames: ok(),
    secondAfterMs: 60,
  },
  { name: 'upstream, a response', frames: ok() },
  { name: 'upstream, trailers', frames: okTrailing('  t: u\n') },
  ...Object.entries(malformedResponses).flatMap(([name, frames]): UpstreamCase[] => [
    { name: `upstream, ${name}`, frames },
    { name: `upstream, ${name}, stream only`, options: streamError, frames },
  ]),
  { name: 'upstream, obs-text', frames: ok('  x: \\x80\n') },
  { name: 'upstream, obs-text, disallowed', options: obsText, frames: ok('  x: \\x80\n') },
  {
    name: 'upstream, obs-text, disallowed, stream only',
    options: { ...obsText, ...streamError },
    frames: ok('  x: \\x80\n'),
  },
  { name: 'upstream, obs-text in trailers, disallowed', options: obsText, frames: okTrailing('  x: \\x80\n') },
  {
    name: 'upstream, obs-text in trailers, disallowed, stream only',
    options: { ...obsText, ...streamError },
    frames: okTrailing('  x: \\x80\n'),
  },
  {
    name: 'upstream, flood of PING',
    options: { max_outbound_control_frames: 5 },
    frames: '*20 PING hex:0000000000000000\n',
  },
  { name: 'upstream, flood of SETTINGS', options: { max_outbound_control_frames: 5 }, frames: '*20 SETTINGS\n' },
  { name: 'upstream, empty DATA', frames: `${ok('', false)}*2 DATA 1\n` },
  { name: 'upstream, empty CONTINUATION', frames: 'HEADERS 1\n  :status: 200\n*3 CONTINUATION 1\n' },
  {
    name: 'upstream, CONTINUATION without end',
    frames: 'HEADERS 1\n  :status: 200\n*40 CONTINUATION 1 "\\{x*10000}"\n',
  },
  {
    name: 'upstream, flood of PRIORITY',
    options: { max_inbound_priority_frames_per_stream: 2 },
    frames: '*5 PRIORITY 1 on=3\n',
  },
  { name: 'upstream, flood of WINDOW_UPDATE', frames: '*8 WINDOW_UPDATE 0 1\n' },
  {
    name: 'upstream, a head that is too large',
    protocol: { common_http_protocol_options: { max_response_headers_kb: 1 } },
    frames: ok('  x: \\{y*2000}\n'),
  },
  {
    name: 'upstream, too many headers',
    protocol: { common_http_protocol_options: { max_headers_count: 5 } },
    frames: ok('  a: b\n'.repeat(6)),
  },
  {
    name: 'upstream, too many trailers',
    protocol: { common_http_protocol_options: { max_headers_count: 5 } },
    frames: okTrailing('  a: b\n'.repeat(6)),
  },
  { name: 'upstream, HPACK bomb', frames: `HEADERS 1 end_headers end_stream hex:88${bomb(900).slice(45, -1)}\n` },
  { name: 'upstream, DATA before a head', frames: 'DATA 1 "x"\n' },
  { name: 'upstream, a response on another stream', frames: 'HEADERS 3 end_headers end_stream\n  :status: 200\n' },
  { name: 'upstream, a response on an even stream', frames: 'HEADERS 2 end_headers end_stream\n  :status: 200\n' },
  { name: 'upstream, PUSH_PROMISE', frames: `PUSH_PROMISE 1 end_headers hex:00000002\n${ok()}` },
  { name: 'upstream, SETTINGS of a bad window', frames: 'SETTINGS 4=2147483648\n' },
  { name: 'upstream, WINDOW_UPDATE of the stream by 0', frames: 'WINDOW_UPDATE 1 0\n' },
  { name: 'upstream, WINDOW_UPDATE by 0', frames: 'WINDOW_UPDATE 0 0\n' },
  { name: 'upstream, a table that breaks', frames: 'HEADERS 1 end_headers end_stream hex:ff8f\n' },
  { name: 'upstream, RST_STREAM', frames: 'RST_STREAM 1 INTERNAL_ERROR\n' },
  { name: 'upstream, RST_STREAM behind the head', frames: `${ok('', false)}RST_STREAM 1 INTERNAL_ERROR\n` },
  { name: 'upstream, GOAWAY with an error', frames: 'GOAWAY 0 ENHANCE_YOUR_CALM\n' },
  { name: 'upstream, GOAWAY', frames: `GOAWAY 1 NO_ERROR\n${ok()}` },
  { name: 'upstream, METADATA', frames: `FRAME 77 flags=4 1 "any"\n${ok()}` },
  { name: 'upstream, an unknown frame', frames: `FRAME 99 flags=1 1 "any"\n${ok()}` },
]
