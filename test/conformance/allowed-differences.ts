/**
 * Every difference from Envoy 1.40 that is meant, with the reason and where it is decided. An entry that no run needs
 * fails its suite: the list must not outlive its reasons.
 */
import type { AllowedDifference } from '../kit/side-by-side.ts'

const failuresAreNamed = (suite: string): AllowedDifference => ({
  suite,
  scenario: /./,
  field: /^response \d+ (header|trailer) (proxy-status|x-failure-id)$/,
  reason: 'Failed responses name the hop that failed; the suites call from loopback, which is a trusted peer.',
  source: 'failure-origin.md, "Wire"',
})

/** Suites of scenarios/http2.ts and grpc.ts: their name, and whether HTTP/2 is spoken there. */
const overHttp2 = [
  { suite: 'h1-to-h2', upstream: true },
  { suite: 'h2-to-h1', downstream: true },
  { suite: 'h2-to-h2', downstream: true, upstream: true },
  { suite: 'mutual-tls-h2-to-h2', downstream: true, upstream: true, tls: true },
  { suite: 'tls-h1-to-auto-h2', upstream: true, tls: true, auto: true },
  { suite: 'tls-h2-to-auto-h1', downstream: true, tls: true, auto: true },
  { suite: 'as-downstream', downstream: true, upstream: true },
  { suite: 'grpc-over-http2', downstream: true, upstream: true },
].flatMap(({ suite, downstream, upstream, tls, auto }): AllowedDifference[] => {
  const allowed = [failuresAreNamed(suite)]
  const allow = (field: RegExp, reason: string, source: string, scenario: string | RegExp = /./) =>
    allowed.push({ suite, scenario, field, reason, source })
  if (downstream === true || upstream === true) {
    const where = [...(downstream ? ['http2'] : []), ...(upstream ? [String.raw`cluster\.\w+\.http2`] : [])]
    allow(
      new RegExp(`^stat (${where.join('|')})\\.nghttp2_(up|down)stream_connections$`),
      'Envoy counts the connections of one of its two HTTP/2 libraries; ours is neither.',
      'sidecar/upstream/http2-stats.ts',
    )
  }
  if (upstream === true && /^h\d-to/.test(suite)) {
    allow(
      /^stat cluster\.\w+\.upstream_cx_protocol_error$/,
      'Envoy closes a connection that has carried all it may within its codec, and counts that as an error.',
      'measured on Envoy 1.40',
      'max_requests_per_connection',
    )
  }
  if (downstream === true && upstream === undefined) {
    allow(
      /^(response 1 framing|log 1)$/,
      'The upstream’s FIN is the orderly end of a tunnel; Envoy takes it for a failed connection.',
      'RFC 8441 §5',
      'extended CONNECT',
    )
  }
  if (tls === true) {
    allow(
      /ssl\.(sigalgs|curves)\./,
      'Node tells neither the signature algorithm of a handshake, nor the group of an accepted one.',
      'sidecar/transport/tls/tls-session.ts',
    )
  }
  if (auto === true) {
    allow(
      /^stat cluster\.\w+\.upstream_cx_total$/,
      'Envoy counts a connection once before and once after it knows the protocol.',
      'measured on Envoy 1.40; sidecar/upstream/alpn-pool.ts',
    )
  }
  return allowed
})

/** Suite of scenarios/http2-frames.ts. */
const rawFrames: readonly AllowedDifference[] = [
  {
    suite: 'http2 frames',
    scenario: /^flood of (malformed requests|responses)$/,
    field: /./,
    reason: 'What a client causes in one go is counted before it is written; Envoy counts what it could not write.',
    source: 'sidecar/codec/http2/machine.ts, #checkFlood',
  },
  {
    suite: 'http2 frames',
    scenario: /CONTINUATION (without end|of many fields)$/,
    field: /./,
    reason:
      'A header block beyond all limits ends the connection; Envoy reads it to its end, which may never come, and resets ' +
      'the stream.',
    source: 'RFC 9113 §10.5.1; sidecar/codec/http2/frame/block-buffer.ts',
  },
  {
    suite: 'http2 frames',
    scenario: 'a body that is too large, in one piece',
    field: /./,
    reason: 'Envoy does not hold a body back, and so does not measure it, that comes with its end in one frame.',
    source: 'sidecar/filters/http/buffer.ts',
  },
  {
    suite: 'http2 frames',
    scenario: 'too many streams',
    field: /./,
    reason:
      'A stream too many is refused and can be tried again; Envoy ends the connection and the good streams with it.',
    source: 'RFC 9113 §5.1.2',
  },
  {
    suite: 'http2 frames',
    scenario: /^a body too (short|long)/,
    field: 'log',
    reason: 'The log says that body and length do not fit; Envoy calls its own reset a remote one.',
    source: 'RFC 9113 §8.1.1',
  },
  {
    suite: 'http2 frames',
    scenario: /^upstream, a body too (short|long)/,
    field: 'answer',
    reason: 'What came before the mistake is handed on; Envoy drops what it read together with the mistake.',
    source: 'test/corpus/http2: the same events at any split of the bytes',
  },
  {
    suite: 'http2 frames',
    scenario: /^(DATA behind the end|HEADERS on an older stream)$/,
    field: /^(answer|stat http\.downstream_cx_protocol_error)$/,
    reason: 'Frames on streams that are closed, or were passed over, end the connection; Envoy ignores them.',
    source: 'RFC 9113 §5.1, §5.1.1',
  },
  {
    suite: 'http2 frames',
    scenario: 'PUSH_PROMISE',
    field: 'log',
    reason: 'Envoy has no words for it.',
    source: 'sidecar/codec/http2/error.ts',
  },
  {
    suite: 'http2 frames',
    scenario: /WINDOW_UPDATE of (a|the) stream by 0$/,
    field: /./,
    reason: 'An error of the stream alone; Envoy ends the connection.',
    source: 'RFC 9113 §6.9',
  },
  {
    suite: 'http2 frames',
    scenario: 'upstream, DATA before a head',
    field: /./,
    reason: 'The response is malformed, which is an error of its stream; Envoy ends the connection.',
    source: 'RFC 9113 §8.1.1',
  },
  {
    suite: 'http2 frames',
    scenario: 'upstream, GOAWAY',
    field: 'stat cluster.upstream_cx_protocol_error',
    reason: 'Envoy closes a connection that has said goodbye within its codec, and counts that as an error.',
    source: 'measured on Envoy 1.40',
  },
]

/** Filters for gRPC, which run over both protocols. */
const grpcFilters = ['filters', 'filters over HTTP/2'].flatMap((suite): AllowedDifference[] => [
  {
    suite,
    scenario: /./,
    field: /^response \d+ (header|trailer) proxy-status$/,
    reason: 'Failed responses name the hop that failed; the suite calls from loopback, which is a trusted peer.',
    source: 'failure-origin.md, "Wire"',
  },
  {
    suite,
    scenario: 'grpc_stats: every method by its name',
    field: 'stat cluster.trailing.grpc.all.v1.Cart.Add.x',
    reason: 'A status that is no number gets no counter of its name: upstreams must not be able to make stats.',
    source: 'sidecar/filters/http/grpc-method-stats.ts',
  },
  {
    suite,
    scenario: /^transcoder: (fields from path and query|bodies|collisions of body and path)$/,
    field: /^upstream app request \d+ body$/,
    reason:
      'Fields are in another order, or Envoy writes one twice or one that has its default; protobuf reads the same. What ' +
      'ours sends is compared as messages in test/unit/filters/http/grpc-json-transcoder.test.ts.',
    source: 'protobuf encoding, "Last One Wins", "Message Field Order"',
  },
  {
    suite,
    scenario: /^transcoder: (bodies|streams of requests) that are none$/,
    field: /^(response \d+ (body|header content-length)|log \d+)$/,
    reason: 'The words for broken JSON are those of the parser; status and details are the same.',
    source: 'sidecar/filters/http/grpc-json/messages.ts',
  },
  {
    suite,
    scenario: 'transcoder: streams as an array',
    field: /^(log 4|response 4 framing)$/,
    reason: 'Envoy counts two bytes, "[]", that its content-length of 0 keeps from being sent.',
    source: 'RFC 9110 §8.6',
  },
])

export const allowedDifferences: readonly AllowedDifference[] = [
  ...grpcFilters,
  {
    suite: 'filters over HTTP/2',
    scenario: 'grpc_http1_bridge: protobuf gets its framing, and loses it on the way back',
    field: /^upstream app request \d+ header content-(type|length)$/,
    reason: 'Envoy calls the protobuf of HTTP/2 callers gRPC and does not give it the framing; ours leaves it alone.',
    source: 'sidecar/filters/http/grpc-http1-bridge.ts',
  },
  ...rawFrames,
  ...overHttp2,
  {
    suite: 'as-downstream',
    scenario: 'HTTP/1.1: the upstream cuts its body',
    field: /^stat http\.\w+\.downstream_cx_(delayed_close_timeout|destroy_local|destroy_remote)$/,
    reason: 'The client sees our FIN and leaves, where Envoy waits and then gives up.',
    source: 'RFC 9112 §9.6; sidecar/transport/plaintext.ts',
  },
  {
    suite: 'h1-to-h2',
    scenario: /in the (middle of the )?body|^a response (longer|that goes on|with a body)/,
    field: /^stat http\.\w+\.downstream_cx_(delayed_close_timeout|destroy_local|destroy_remote)$/,
    reason: 'The client sees our FIN and leaves, where Envoy waits and then gives up.',
    source: 'RFC 9112 §9.6; sidecar/transport/plaintext.ts',
  },
  {
    suite: 'filters',
    scenario: 'header_mutation: query parameters',
    field: /^(upstream app request 1 line|log 1)$/,
    reason:
      'Envoy decodes every query parameter and writes it out undecoded, so that a blank or a line break in a value ' +
      'breaks the request line; ours leaves alone what no mutation touches.',
    source: 'sidecar/filters/http/header-mutation.ts; RFC 9112 §3, request smuggling',
  },
  {
    suite: 'filters',
    scenario: 'local_ratelimit: headers of the refusal',
    field: 'response 2 header x-code',
    reason: 'Envoy formats response_headers_to_add before the reply has a status and prints 0; ours prints 429.',
    source: 'sidecar/filters/http/local-rate-limit.ts',
  },
  {
    suite: 'transcoded types',
    scenario: 'names and what is no field',
    field: /^POST \/v1\/types (\{aString: "x"\}|\{'aString':'x'\}|\{"aString":"x",\}|\{"aString":"a\tb"\})$/,
    reason:
      'Envoy reads names without quotes, single quotes, commas at the end and bare control characters; here JSON is JSON.',
    source: 'RFC 8259',
  },
  {
    suite: 'transcoded types',
    scenario: 'proto2',
    field: 'POST /v1/old {"name":"n","kind":9}',
    reason: 'A number that a closed enum has not is no value of it.',
    source: 'protobuf, "Enum Behavior"',
  },
  {
    suite: 'filters',
    scenario: 'transcoder: bodies that are too large',
    field: 'response 1 header connection',
    reason: 'The request had come whole, so that its connection can serve the next one; Envoy closes it.',
    source: 'RFC 9112 §9.6',
  },
  {
    suite: 'filters',
    scenario: 'fault: an abort without a body',
    field: /^(response \d+ header content-length|log 1)$/,
    reason:
      'Envoy announces the length of the abort text in a 204, which must not have a Content-Length, and counts bytes ' +
      'that were never sent.',
    source: 'RFC 9110 §8.6',
  },
  {
    suite: 'filters',
    scenario: 'header_mutation: a request that loses its path is refused',
    field: 'log 1',
    reason:
      'Envoy notices when it writes the request to the host it has chosen; ours refuses it where the path is lost.',
    source: 'sidecar/filters/http/header-mutation.ts',
  },
  {
    suite: 'filters',
    scenario: 'buffer: a length beyond the limit is 413',
    field: 'response 1 header connection',
    reason: 'The request had come whole, so that its connection can serve the next one; Envoy closes it.',
    source: 'RFC 9112 §9.6',
  },
  failuresAreNamed('replies'),
  failuresAreNamed('routing'),
  failuresAreNamed('headers'),
  failuresAreNamed('tries'),
  failuresAreNamed('messages'),
  failuresAreNamed('grpc'),
  {
    suite: 'replies',
    scenario: /./,
    field: /^response \d+ connection$/,
    reason: 'We end our half of a connection at once and then wait for the peer; Envoy waits first, up to a second.',
    source: 'RFC 9112 §9.6; sidecar/transport/socket-connection.ts',
  },
  {
    suite: 'replies',
    scenario: /in the middle of a/,
    field: /^stat http\.\w+\.downstream_cx_(delayed_close_timeout|destroy_local|destroy_remote)$/,
    reason: 'The same: the client sees our FIN and leaves, where Envoy gives up waiting.',
    source: 'RFC 9112 §9.6; sidecar/transport/socket-connection.ts',
  },
  {
    suite: 'replies',
    scenario: 'a bad chunk size in the middle of a body',
    field: /^(response 1 body|log 1)$/,
    reason: 'What came before the mistake is handed on; Envoy drops what it read together with the mistake.',
    source: 'sidecar/codec/http1/message-parser.ts: the same events at any split of the bytes',
  },
  {
    suite: 'replies',
    scenario: 'a bad chunk in the middle of a request',
    field: 'log 1',
    reason: 'The same, in the other direction: the bytes before the mistake are counted.',
    source: 'sidecar/codec/http1/message-parser.ts: the same events at any split of the bytes',
  },
  {
    suite: 'replies',
    scenario: 'a body that ends with a reset of the connection',
    field: /^(response 1 framing|log 1|stat .*(with_active_rq|protocol_error|rx_reset|tx_reset))$/,
    reason: 'Envoy takes an RST for the end of a body without a length, so that half a body looks whole.',
    source: 'RFC 9112 §8: complete unless an error was indicated by the underlying connection',
  },
  {
    suite: 'replies',
    scenario: 'more body than the buffer filter takes',
    field: /^(response \d+ header connection|stat .*downstream_rq_(response_before_rq_complete|rx_reset))$/,
    reason: 'The request had come whole, so that its connection can serve the next one; Envoy closes it.',
    source: 'RFC 9112 §9.6',
  },
  {
    suite: 'replies',
    scenario: 'HTTP/1.0',
    field: /^(response 1 (body|header content-length)|log 1)$/,
    reason: 'The answer names the setting that would accept it, and the log says HTTP/1.0, which the request was.',
    source: 'design.md, "Data path"',
  },
  {
    suite: 'replies',
    scenario: 'no host',
    field: /^(log 1|stat .*downstream_rq_(response_before_rq_complete|rx_reset))$/,
    reason: 'The codec refuses a request without Host before there are headers to log.',
    source: 'RFC 9112 §3.2; sidecar/codec/http1/request-head.ts',
  },
  {
    suite: 'headers',
    scenario: 'repeated and empty headers, order and case',
    field: /^upstream app request 1 header accept$/,
    reason: 'A list in two entries is passed on in two; Envoy joins them. Both mean the same.',
    source: 'RFC 9110 §5.3',
  },
  {
    suite: 'headers',
    scenario: 'headers of routes and virtual hosts on answers of the proxy',
    field: /^response \d+ header x-route$/,
    reason: 'Envoy formats headers before its answer has a status and prints 0; ours prints the status.',
    source: 'sidecar/http/local-reply.ts',
  },
  {
    suite: 'tries',
    scenario: /in the middle of a/,
    field: /^stat http\.\w+\.downstream_cx_(delayed_close_timeout|destroy_local|destroy_remote)$/,
    reason: 'The client sees our FIN and leaves, where Envoy waits and then gives up.',
    source: 'RFC 9112 §9.6; sidecar/transport/socket-connection.ts',
  },
  {
    suite: 'tries',
    scenario: 'internal redirect',
    field: 'log 6',
    reason: 'A body that is sent again after a redirect is counted once; Envoy counts it twice.',
    source: 'sidecar/http/active-stream.ts',
  },
  {
    suite: 'routing',
    scenario: 'internal redirect: a 303 makes a GET without a body',
    field: 'log 2',
    reason: 'The body of the request before it is not counted again for the GET that a 303 makes of it.',
    source: 'sidecar/http/active-stream.ts',
  },
  {
    suite: 'routing',
    scenario: /^internal redirect: (a location with a query only is not followed|nowhere to go)$/,
    field: 'log 1',
    reason: 'The log names the cluster that answered; Envoy has forgotten it while it looked for the next route.',
    source: 'sidecar/router/internal-redirect.ts',
  },
  {
    suite: 'tls',
    scenario: '',
    field: /^client (strict stranger|strict wrong name)$/,
    reason: 'Node sends no alert when a certificate is refused after the handshake: the client sees an end.',
    source: 'sidecar/transport/tls/downstream-tls.ts',
  },
  {
    suite: 'tls',
    scenario: '',
    field: /ssl\.sigalgs\./,
    reason: 'Node does not tell the signature algorithm of a handshake.',
    source: 'sidecar/transport/tls/tls-stats.ts',
  },
  {
    suite: 'tls',
    scenario: '',
    field: /ssl\.curves\./,
    reason: 'Node tells the group on connections it opened alone, and not for hybrids.',
    source: 'sidecar/transport/tls/tls-session.ts',
  },
  {
    suite: 'resets that are asked for',
    scenario: /^(WINDOW_UPDATE|DATA|HEADERS|PRIORITY) /,
    field: /^(end|http2\.tx_reset|http\.main\.downstream_rq_too_many_premature_resets)$/,
    reason:
      'Envoy closes the connection; here an error of a stream ends that stream alone, and who makes too many of them is ' +
      'cut off by the guard against premature resets.',
    source: 'RFC 9113 §5.1, §5.4.2, §6.3, §6.9',
  },
  {
    suite: 'tls contexts',
    scenario: /^(crls?|spiffe|depth\d|named|pinned|spki|eitherPin|byName|systemToo|combined\w+)$/,
    field: /^(good|revoked|pretender|foreign|nameless|depth\d|second|nobody)$/,
    reason: 'Node sends no alert when a certificate is refused after the handshake: the client sees an end.',
    source: 'sidecar/transport/tls/downstream-tls.ts',
  },
  {
    suite: 'tls contexts',
    scenario: 'stat',
    field: /^listener\.127\.0\.0\.1_<(pinned|spki)>\.ssl\.certificate\.unnamed_ca_cert\.expiration/,
    reason: 'Envoy shows the largest number there is as the expiry of a CA certificate that there is not.',
    source: 'sidecar/transport/tls/tls-context.ts',
  },
  {
    suite: 'tls contexts',
    scenario: 'spiffe',
    field: 'the same chain again',
    reason:
      'Trust domains and the depth of chains are judged by certificates above the leaf, which OpenSSL does not keep in a ' +
      'session: such contexts resume none.',
    source: 'sidecar/transport/tls/peer-validation.ts, looksAtChain',
  },
  {
    suite: 'tls contexts',
    scenario: 'stat',
    field: 'listener.127.0.0.1_<spiffe>.ssl.session_reused',
    reason: 'The same.',
    source: 'sidecar/transport/tls/peer-validation.ts, looksAtChain',
  },
  {
    suite: 'tls contexts',
    scenario: /^(system|log|stat)$/,
    field: /^(good|revoked|depth\d|second|\/system\/.*|listener\.127\.0\.0\.1_<system>\.ssl\..*)$/,
    reason: 'Envoy loads system_root_certs and then looks at no certificate; who has written it down wants it done.',
    source: 'common.proto, "#not-implemented-hide" of system_root_certs',
  },
  {
    suite: 'tls contexts',
    scenario: /^(sni|log)$/,
    field: /^(without one|\/sni\/without-one)$/,
    reason: 'Envoy loads require_sni and does not look at it; who has written it down wants it done.',
    source: 'tls.proto, "#not-implemented-hide" of require_sni',
  },
  {
    suite: 'tls contexts',
    scenario: 'stat',
    field: /^listener\.127\.0\.0\.1_<sni>\.ssl\./,
    reason: 'The same.',
    source: 'tls.proto, "#not-implemented-hide" of require_sni',
  },
  {
    suite: 'tls contexts',
    scenario: 'stat',
    field: /ssl\.(sigalgs|curves)\./,
    reason: 'Node tells neither the signature algorithm of a handshake, nor the group of an accepted one.',
    source: 'sidecar/transport/tls/tls-session.ts',
  },
  {
    suite: 'tls upstream contexts',
    scenario: 'stat',
    field: /ssl\.(sigalgs\.|curves\.X25519)/,
    reason: 'Node tells neither the signature algorithm of a handshake, nor the group of a resumed one.',
    source: 'sidecar/transport/tls/tls-session.ts',
  },
  {
    suite: 'tls upstream contexts',
    scenario: 'stat',
    field: 'cluster.spki-alone.ssl.certificate.unnamed_ca_cert.expiration_unix_time_seconds',
    reason: 'Envoy shows the largest number there is as the expiry of a CA certificate that there is not.',
    source: 'sidecar/transport/tls/tls-context.ts',
  },
  {
    suite: 'tls upstream contexts',
    scenario: /^(system|log|stat)$/,
    field: /^(answers|\/system\/0|cluster\.system\..*)$/,
    reason: 'Envoy loads system_root_certs and then looks at no certificate; who has written it down wants it done.',
    source: 'common.proto, "#not-implemented-hide" of system_root_certs',
  },
  {
    suite: 'tls upstream contexts',
    scenario: /^(depth|log$|stat$)/,
    field: /^(answers$|\/depth|cluster\.depth)/,
    reason:
      'Envoy hands max_verify_depth to BoringSSL for client certificates alone and so accepts any chain from an upstream; ' +
      'here it holds, and counts, the same on both sides.',
    source: 'sidecar/transport/tls/peer-validation.ts',
  },
]
