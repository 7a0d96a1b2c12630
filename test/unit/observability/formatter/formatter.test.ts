/** Operators of formats, one by one; the expected texts are those of Envoy 1.40 (measured), where it knows the operator. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../../sidecar/base/random.ts'
import { HeaderMap, RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import {
  compileJsonFormat,
  compileTextFormat,
  ENVOY_FORMAT,
  type FilterMetadata,
  FORMAT_PRESETS,
  type FormatContext,
  formatErrorText,
} from '../../../../sidecar/observability/formatter/formatter.ts'
import { OPERATORS } from '../../../../sidecar/observability/formatter/operators.ts'
import { ResponseFlag } from '../../../../sidecar/observability/response-flags.ts'
import { StreamInfo, type TlsInfo } from '../../../../sidecar/observability/stream-info.ts'

const tls: TlsInfo = {
  version: 'TLSv1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  sni: 'b.local',
  alpn: 'h2',
  peerUriSans: ['spiffe://mesh/a', 'spiffe://mesh/x'],
  peerDnsSans: [],
  peerSubject: 'CN=a',
  peerIssuer: 'CN=ca',
  peerFingerprint256: 'ab12',
  peerSerial: '01ff',
  localUriSans: ['spiffe://mesh/b'],
  peerValidFromMs: Date.UTC(2026, 0, 2, 3, 4, 5),
}

const options = {
  clock: new ManualClock(Date.UTC(2026, 10, 21, 9, 0, 0)),
  random: new SeededRandom(1),
  environment: { HOME: '/root' },
  hostname: 'vm',
}

/** A request as the measured one was: rewritten path, two values of one header, a host that answered. */
function context(change: (info: StreamInfo) => void = () => {}): FormatContext {
  const info = new StreamInfo(
    {
      id: 2,
      directRemote: { ip: '127.0.0.1', port: 55648 },
      local: { ip: '::1', port: 18900 },
      listenerName: 'lname',
      filterChainName: 'fcn',
      tls,
      requestedServerName: 'b.local',
    },
    'HTTP/1.1',
    1000,
    Date.UTC(2026, 10, 21, 8, 39, 37, 459),
  )
  info.remote = { ip: '10.1.2.3', port: 0 }
  info.lastRequestByteMs = 1000.9
  info.lastUpstreamTxByteMs = 1001.9
  info.firstUpstreamRxByteMs = 1012.2
  info.lastDownstreamTxByteMs = 1015.8
  info.endMs = 1015.8
  info.responseCode = 200
  info.responseCodeDetails = 'via upstream'
  info.bytesReceived = 5
  info.bytesSent = 7
  info.routeName = 'rn'
  info.clusterName = 'up'
  info.clusterAltStatName = 'up_alt'
  info.upstreamHost = { ip: '127.0.0.1', port: 46047 }
  info.upstreamLocal = { ip: '127.0.0.1', port: 54440 }
  info.upstreamProtocol = 'HTTP/2'
  info.upstreamTransportFailure = 'delayed connect error: refused'
  info.attemptCount = 1
  info.requestId = '59b04ea1-8e49-9562-907b-93b492defd95'
  info.traceId = '3b9c3c4305ca3db4'
  info.setDynamicMetadata('ns', 'user', { name: 'é', tags: [1, 'a', { x: 1 }], none: null })
  change(info)
  return {
    info,
    requestHeaders: new RequestHeaders('POST', '/rw/a/b?s=200&t=a%20b+c&s=3', 'h:1', 'http', [
      'user-agent',
      'cu"rl',
      'x-multi',
      '1',
      'x-multi',
      '2',
      'x-envoy-original-path',
      '/a/b?s=200&t=a%20b+c&s=3',
      'x-forwarded-client-cert',
      'By=spiffe://b;Hash=ff;Subject="CN=a,O=\\"x\\"";URI=spiffe://a;DNS=a1;DNS=a2,By=other;URI=no',
    ]),
    responseHeaders: new ResponseHeaders(200, ['x-up', 'v"1\\\xe9\t2']),
    responseTrailers: new HeaderMap(['grpc-status', '5']),
    metadata: (kind): FilterMetadata | undefined =>
      kind === 'ROUTE' ? { r: { s: 'str', n: 5, b: true, l: [1, 'a', { x: 1 }], d: { t: 'deep' } } } : undefined,
  }
}

function formatted(format: string, at = context()): string {
  const { value, errors } = compileTextFormat(format, options)
  assert.equal(errors, undefined, formatErrorText(errors ?? []))
  return value!(at)
}

const TEXTS: readonly (readonly [format: string, expected: string])[] = [
  ['plain 100%% text', 'plain 100% text'],
  ['%REQ(:METHOD)%', 'POST'],
  ['%REQ(X-MISS)%', '-'],
  ['%REQ(x-miss?user-agent):4%', 'cu"r'],
  ['%REQ(x-multi)%', '1'],
  ['%REQUEST_HEADER(HOST)%', 'h:1'],
  ['%RESP(:status)%', '200'],
  ['%RESP(x-up):3%', 'v"1'],
  ['%TRAILER(grpc-status)%', '5'],
  ['%REQUEST_TRAILER(x)%', '-'],
  ['%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%', '/a/b'],
  ['%PATH%', '/a/b?s=200&t=a%20b+c&s=3'],
  ['%PATH(NQ)%', '/a/b'],
  ['%PATH(NQ:PATH)%', '/rw/a/b'],
  ['%PATH(WQ:PATH):4%', '/rw/'],
  ['%QUERY_PARAM(s)%', '200'],
  ['%QUERY_PARAM(t)%', 'a b+c'],
  ['%QUERY_PARAM(zz)%', '-'],
  ['%QUERY_PARAMS%', 's=200&t=a%20b+c&s=3'],
  ['%XFCC_VALUE(URI)%', 'spiffe://a'],
  ['%XFCC_VALUE(dns)%', 'a1,a2'],
  ['%XFCC_VALUE(subject)%', 'CN=a,O="x"'],
  ['%PROTOCOL%', 'HTTP/1.1'],
  ['%RESPONSE_CODE%', '200'],
  ['%RESPONSE_CODE_DETAILS%', 'via_upstream'],
  ['%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%', 'via upstream'],
  ['%RESPONSE_FLAGS%', '-'],
  ['%BYTES_RECEIVED% %BYTES_SENT%', '5 7'],
  ['%DURATION% %REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%', '15 0 1 12 3'],
  ['%COMMON_DURATION(DS_RX_BEG:DS_TX_END)%', '15'],
  ['%COMMON_DURATION(US_RX_BEG:DS_TX_END:us)%', '3599'],
  ['%COMMON_DURATION(DS_RX_BEG:US_CX_BEG)%', '-'],
  ['%COMMON_DURATION(DS_RX_BEG:my_point)%', '-'],
  ['%START_TIME%', '2026-11-21T08:39:37.459Z'],
  ['%EMIT_TIME(%s)%', String(Date.UTC(2026, 10, 21, 9) / 1000)],
  ['%ROUTE_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%', 'rn up_alt up'],
  ['%LISTENER_NAME% %FILTER_CHAIN_NAME% %CONNECTION_ID%', 'lname fcn 2'],
  [
    '%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT%',
    '127.0.0.1:46047 127.0.0.1:46047 127.0.0.1',
  ],
  ['%UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_REQUEST_ATTEMPT_COUNT%', '127.0.0.1:46047 1'],
  ['%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_PORT% %UPSTREAM_REMOTE_PORT%', '127.0.0.1:54440 54440 46047'],
  ['%UPSTREAM_PROTOCOL%', 'HTTP/2'],
  ['%UPSTREAM_TRANSPORT_FAILURE_REASON%', 'delayed_connect_error:_refused'],
  ['%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%', '[::1]:18900 ::1'],
  ['%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%', '10.1.2.3:0 127.0.0.1:55648'],
  ['%DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%', ''],
  ['%REQUESTED_SERVER_NAME%', 'b.local'],
  ['%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%', 'TLSv1.3 TLS_AES_256_GCM_SHA384'],
  ['%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN%', 'spiffe://mesh/a,spiffe://mesh/x -'],
  ['%DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_PEER_SERIAL%', 'ab12 01ff'],
  ['%DOWNSTREAM_PEER_CERT_V_START(%b %e %H:%M:%S %Y %Z)%', 'Jan  2 03:04:05 2026 UTC'],
  ['%UPSTREAM_TLS_VERSION%', '-'],
  ['%STREAM_ID% %TRACE_ID% %SPAN_ID%', '59b04ea1-8e49-9562-907b-93b492defd95 3b9c3c4305ca3db4 -'],
  ['%HOSTNAME% %ENVIRONMENT(HOME)% %ENVIRONMENT(NOPE)% %ENVIRONMENT(HOME):3%', 'vm /root - /ro'],
  ['%GRPC_STATUS%', '-'],
  ['%ACCESS_LOG_TYPE%|%LOCAL_REPLY_BODY%|%CUSTOM_FLAGS%', 'DownstreamEnd||'],
  ['%DYNAMIC_METADATA(ns:user:tags)%', '[1,"a",{"x":1}]'],
  ['%DYNAMIC_METADATA(ns:user:tags):3%', '[1,'],
  ['%DYNAMIC_METADATA(ns:user:none)% %DYNAMIC_METADATA(other)%', '- -'],
  ['%METADATA(ROUTE:r)%', '{"b":true,"d":{"t":"deep"},"l":[1,"a",{"x":1}],"n":5,"s":"str"}'],
  ['%METADATA(ROUTE:r:d:t)% %METADATA(ROUTE:r:n)% %METADATA(ROUTE:r:s:t)% %METADATA(CLUSTER:r)%', 'deep 5 - -'],
  ['%FILTER_STATE(x:PLAIN)%', '-'],
  ['%COALESCE({"operators":[{"command":"REQ","param":"x-miss"},"ROUTE_NAME"]})%', 'rn'],
  ['%FAILURE(ORIGIN)%', '-'],
]

for (const [format, expected] of TEXTS) {
  test(`${format} prints ${expected === '' ? 'nothing' : expected}`, () => assert.equal(formatted(format), expected))
}

const TIMES: readonly (readonly [format: string, expected: string])[] = [
  ['%Y-%m-%dT%H:%M:%S.%3f', '2026-11-21T08:39:37.459'],
  ['%f %1f %2f %4f %6f %9f', '459000000 4 45 4590 459000 459000000'],
  ['%s.%3f', '1795250377.459'],
  ['%E3S %E*S %E6S %E3f %E*f %E4Y %ET', '37.459 37.459 37.459000 459 459 2026 T'],
  ['%Ez %z %Z %:z', '+00:00 +0000 UTC +00:00'],
  [
    '%a %A %b %B %d %e %j %y %C %D %F %T %R',
    'Sat Saturday Nov November 21 21 325 26 20 11/21/26 2026-11-21 08:39:37 08:39',
  ],
  ['%r|%I|%l|%p|%P|%k', '08:39:37 AM|08| 8|AM|am| 8'],
  ['%c|%x|%X|%U|%V|%W|%w|%u|%G|%g|%h|%%', 'Sat Nov 21 08:39:37 2026|11/21/26|08:39:37|46|47|46|6|6|2026|26|Nov|%'],
  ['%q %Q %L %v %i %03f %', '%q %Q %L %v %i %03f %'],
  ['%-d|%_d|%^a|%010Y', '21|21|SAT|0000002026'],
]

for (const [format, expected] of TIMES) {
  test(`%START_TIME(${format})% prints ${expected}`, () => assert.equal(formatted(`%START_TIME(${format})%`), expected))
}

test('local times are those of the time zone, with its name', () => {
  const zone = process.env['TZ']
  process.env['TZ'] = 'Europe/Berlin'
  try {
    assert.equal(formatted('%START_TIME_LOCAL%'), '2026-11-21T09:39:37.459+0100')
    assert.equal(formatted('%START_TIME_LOCAL(%H:%M %Z %j)%'), '09:39 CET 325')
  } finally {
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
  }
})

test('several response flags are joined, codes or names', () => {
  const at = context(info => {
    info.responseFlags = ResponseFlag.UpstreamConnectionFailure | ResponseFlag.UpstreamRetryLimitExceeded
  })
  assert.equal(
    formatted('%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%', at),
    'URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure',
  )
})

test('gRPC statuses have three spellings', () => {
  const at = context(info => {
    info.grpcStatus = 5
  })
  assert.equal(formatted('%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%', at), 'NotFound NOT_FOUND 5')
})

test('a refused attempt is no attempted host, as in Envoy', () => {
  const at = context(info => {
    info.upstreamLocal = undefined
  })
  assert.equal(
    formatted('%UPSTREAM_HOST% %UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_REMOTE_ADDRESS%', at),
    '127.0.0.1:46047 - -',
  )
})

test('the failure of a request can be printed field by field', () => {
  const at = context(info => {
    info.failure = {
      id: '5f',
      role: 'origin',
      origin: 'd',
      cause: 'connect_refused',
      link: 'c>d',
      path: 'd,c',
      confidence: 'exact',
    }
  })
  const { value } = compileTextFormat(
    '%FAILURE(ORIGIN)% %FAILURE(CAUSE)% %FAILURE(ROLE)% %FAILURE(PATH)% %FAILURE(ID)% %FAILURE(CONFIDENCE)% %FAILURE(LINK)%',
  )
  assert.equal(value!(at), 'd connect_refused origin d,c 5f exact c>d')
})

test("Envoy's default line", () => {
  assert.equal(
    formatted(ENVOY_FORMAT),
    '[2026-11-21T08:39:37.459Z] "POST /a/b?s=200&t=a%20b+c&s=3 HTTP/1.1" 200 - 5 7 15 - "-" "cu"rl" "-" "h:1" "127.0.0.1:46047"\n',
  )
})

test('every preset compiles and prints one line', () => {
  for (const preset of Object.values(FORMAT_PRESETS)) {
    const { value, errors } =
      'text' in preset ? compileTextFormat(preset.text, options) : compileJsonFormat(preset.json, preset)
    assert.equal(errors, undefined)
    const line = value!(context())
    assert.match(line, /^[^\n]+\n$/)
    if ('json' in preset) JSON.parse(line)
  }
})

test('what is missing prints as nothing with omit_empty_values', () => {
  const { value } = compileTextFormat('[%REQ(x-miss)%] %ROUTE_NAME%', { ...options, omitEmptyValues: true })
  assert.equal(value!(context()), '[] rn')
})

test('a format says what it reads', () => {
  const needs = (format: string) => [...compileTextFormat(format, options).value!.needs].sort()
  assert.deepEqual(needs('%RESPONSE_CODE% %DURATION%'), [])
  assert.deepEqual(needs(ENVOY_FORMAT), ['requestHeaders', 'responseHeaders'])
  assert.deepEqual(needs('%TRAILER(a)% %DOWNSTREAM_TLS_VERSION% %METADATA(ROUTE:a)% %FAILURE(ID)%'), [
    'failure',
    'metadata',
    'responseTrailers',
    'tls',
  ])
})

test('every operator can be printed as text and as JSON without a single value being known', () => {
  const info = new StreamInfo(
    {
      id: 0,
      directRemote: { ip: '/tmp/x', port: 0 },
      local: { ip: '/tmp/x', port: 0 },
      listenerName: '',
      filterChainName: '',
      tls: undefined,
      requestedServerName: '',
    },
    'HTTP/1.1',
    0,
    0,
  )
  for (const [name, { syntax }] of OPERATORS) {
    if (name === 'CEL') continue
    const argument =
      name === 'FAILURE'
        ? 'ID'
        : name === 'METADATA'
          ? 'ROUTE:a'
          : name === 'COALESCE'
            ? '{"operators":["DURATION"]}'
            : name === 'COMMON_DURATION'
              ? 'a:b'
              : name === 'FILTER_STATE' || name === 'UPSTREAM_FILTER_STATE' || name === 'XFCC_VALUE'
                ? 'x'
                : 'x'
    const bare =
      syntax === 'alone' ||
      (syntax.startsWith('argument_optional') &&
        !['FILTER_STATE', 'UPSTREAM_FILTER_STATE', 'XFCC_VALUE', 'METADATA'].includes(name))
    const format = bare ? `%${name}%` : `%${name}(${argument})%`
    const text = compileTextFormat(format, options)
    assert.equal(text.errors, undefined, format)
    assert.equal(typeof text.value!({ info }), 'string', format)
    JSON.parse(compileJsonFormat({ a: format }, options).value!({ info }))
  }
})

const MISTAKES: readonly (readonly [format: string, expected: string])[] = [
  [
    '%',
    "Incorrect configuration: %. Couldn't find valid command at position 0, a percent sign by itself is written %% (column 1)",
  ],
  [
    '100% sure',
    "Incorrect configuration: 100% sure. Couldn't find valid command at position 3, a percent sign by itself is written %% (column 4)",
  ],
  ['%REQ()%', 'REQ requires parameters (column 1)'],
  ['%REQ(a?b?c)%', 'More than 1 alternative header specified in token: a?b?c (column 1)'],
  ['%REQ(X-Y Z)%', 'Invalid header configuration. Format string contains invalid characters. (column 1)'],
  [
    '%DOWNSTREAM_CX_RTT%',
    'DOWNSTREAM_CX_RTT is not supported: Node does not tell the round-trip time of a socket (column 1)',
  ],
  ['%ROUTE_RESOLUTION_TIME_US%', 'ROUTE_RESOLUTION_TIME_US is not supported: finding a route is not timed (column 1)'],
  ...['DOWNSTREAM_DETECTED_CLOSE_TYPE', 'UPSTREAM_LOCAL_CLOSE_REASON'].map(
    name =>
      [
        `%${name}%`,
        `${name} is not supported: how a connection closes is not known when a request of it is logged (column 1)`,
      ] as const,
  ),
  ['x %DURTION%', 'Not supported field in StreamInfo: DURTION, did you mean "DURATION"? (column 3)'],
  ['%CODE_RESPONSE%', 'Not supported field in StreamInfo: CODE_RESPONSE, did you mean "RESPONSE_CODE"? (column 1)'],
  [
    '%req(a)%',
    'Incorrect configuration: %req(a)%. Couldn\'t find valid command at position 0, did you mean "%REQ(…)%"? (column 1)',
  ],
  ['%DURATION(a)%', 'DURATION does not take any parameters or length (column 1)'],
  ['%START_TIME(%Y):4%', 'START_TIME does not allow length to be specified. (column 1)'],
  ['%START_TIME(%Y%n)%', 'Invalid header configuration. Format string contains newline. (column 1)'],
  ['%COMMON_DURATION(a)%', 'Invalid common duration configuration: a. (column 1)'],
  ['%COMMON_DURATION(a:b:c)%', 'Invalid common duration precision: c. (column 1)'],
  ['%GRPC_STATUS(X)%', 'GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: X (column 1)'],
  ['%PATH(x)%', "Invalid PATH option: 'x', only 'WQ'/'NQ' are allowed (column 1)"],
  ['%PATH(NQ:X)%', "Invalid PATH option: 'X', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed (column 1)"],
  ['%FILTER_STATE(a:X)%', 'Invalid filter state serialize type, only support PLAIN/TYPED/FIELD. (column 1)'],
  [
    '%FAILURE(ORIGN)%',
    'FAILURE only supports ID, ROLE, ORIGIN, CAUSE, LINK, PATH, CONFIDENCE. Got: ORIGN, did you mean "ORIGIN"? (column 1)',
  ],
]

for (const [format, expected] of MISTAKES) {
  test(`${format} is refused: ${expected}`, () => {
    assert.equal(formatErrorText(compileTextFormat(format, options).errors ?? []), expected)
  })
}

test('all mistakes of a format are told at once, in JSON with their path', () => {
  const { errors } = compileJsonFormat({ a: '%FOO%', b: { c: ['ok', '%REQ%'] } }, options)
  assert.deepEqual(
    errors?.map(error => error.path),
    ['a', 'b.c[1]'],
  )
})

test('JSON keeps types, sorts keys and ends with a line break', () => {
  const { value } = compileJsonFormat(
    {
      z: '%REQ(x-miss)%',
      b: 'x%REQ(x-miss)%y',
      c: '%RESPONSE_CODE%',
      d: { e: '%REQ(x-miss)%', f: ['%DURATION%', '%REQ(x-miss)%', 'lit'] },
      g: 5,
      h: true,
      i: null,
      q: '"%REQ(x-miss)%"',
      m: '%METADATA(ROUTE:r:l):3%',
      zz: 'lit%%',
    },
    options,
  )
  assert.equal(
    value!(context()),
    '{"b":"x-y","c":200,"d":{"e":null,"f":[15,null,"lit"]},"g":5,"h":true,"i":null,"m":[1,"a",{"x":1}],"q":"\\"-\\"","z":null,"zz":"lit%"}\n',
  )
})

test('JSON without empty values leaves out fields and structs, and keeps lists', () => {
  const { value } = compileJsonFormat(
    {
      a: '%REQ(x-miss)%',
      b: 'x%REQ(x-miss)%y',
      l: ['%REQ(x-miss)%'],
      m: { n: '%REQ(x-miss)%', o: { p: '%REQ(x-miss)%' } },
      i: null,
    },
    { ...options, omitEmptyValues: true },
  )
  assert.equal(value!(context()), '{"b":"xy","l":[]}\n')
})

test('a header that is not UTF-8 becomes JSON all the same; one that is stays readable', () => {
  const { value } = compileJsonFormat(
    { up: '%RESP(x-up)%', name: '%DYNAMIC_METADATA(ns:user:name)%', é: 'é</script>' },
    options,
  )
  const line = Buffer.from(value!(context()), 'latin1').toString('utf8')
  assert.equal(line, '{"name":"é","up":"v\\u00221\\u005c\\u00e9\\u00092","é":"é</script>"}\n')
})
