/**
 * What can be wrong with a message, as values: one frozen object per mistake, so that reporting one costs nothing and a
 * flood of bad input allocates nothing.
 *
 * `details` are Envoy's where Envoy refuses the same; what only we refuse goes under Envoy's nearest name.
 */
export type Http1ErrorKind =
  | 'malformed' // the bytes break the grammar or a rule about framing
  | 'headers_too_large'
  | 'too_many_headers'
  | 'low_version' // HTTP/1.0 where it is not accepted, HTTP/0.9
  | 'unsupported' // understood and refused: another transfer coding or version
  | 'http2_preface' // `PRI * HTTP/2.0`: an HTTP/2 connection came to an HTTP/1 codec
  | 'tls_client_hello' // TLS came to a plain-text listener
  | 'unexpected_response' // bytes from the upstream that no request asked for
  | 'ended_before_message' // FIN, and nothing of the awaited message had come
  | 'ended_in_head'
  | 'ended_in_body'

export interface Http1Error {
  readonly kind: Http1ErrorKind
  /** What Envoy writes into `%RESPONSE_CODE_DETAILS%`, e.g. `http1.codec_error`. */
  readonly details: string
  /** Status of the local reply when the message is a request; 0 where there is nobody to answer. */
  readonly status: number
  /** The rule that was broken, e.g. `RFC 9112 §5.1`. */
  readonly rfc: string
  /** A sentence for people. */
  readonly message: string
}

function error(kind: Http1ErrorKind, status: number, details: string, rfc: string, message: string): Http1Error {
  return Object.freeze({ kind, details, status, rfc, message })
}

function malformed(rfc: string, message: string, details = 'http1.codec_error'): Http1Error {
  return error('malformed', 400, details, rfc, message)
}

export const Http1Errors = {
  // Start line
  badMethod: malformed('RFC 9110 §9.1', 'The request line does not begin with a method token.'),
  unknownMethod: malformed('RFC 9110 §9.1', 'The method is not one of those known (allow_custom_methods is off).'),
  badTargetCharacter: malformed('RFC 9112 §3.2', 'The request target holds a character that no URI may have.'),
  controlInTarget: malformed(
    'RFC 9112 §3.2',
    'The request target holds a control character.',
    'http1.invalid_characters',
  ),
  badTarget: malformed('RFC 9112 §3.2', 'The request target has none of the four forms.'),
  badAsterisk: malformed('RFC 9112 §3.2.4', 'The target * is for OPTIONS only.', 'http1.invalid_url'),
  badAbsoluteTarget: malformed(
    'RFC 9112 §3.2.2',
    'The absolute request target has no valid authority.',
    'http1.invalid_url',
  ),
  badScheme: malformed(
    'RFC 9112 §3.2.2',
    'The scheme of the request target is neither http nor https.',
    'http1.invalid_scheme',
  ),
  badConnectTarget: malformed('RFC 9112 §3.2.3', 'The target of CONNECT is not host:port.', 'http1.invalid_url'),
  badRequestLine: malformed('RFC 9112 §3', 'The request line is not "method SP target SP version CRLF".'),
  badVersion: malformed('RFC 9112 §2.3', 'The protocol version is not HTTP/ with two digits.'),
  lowVersion: error(
    'low_version',
    426,
    'low_version',
    'RFC 9110 §15.5.22',
    'HTTP/1.0 is not accepted here (http_protocol_options.accept_http_10).',
  ),
  http09: error('low_version', 426, 'low_version', 'RFC 9112 §3', 'HTTP/0.9 is not spoken here.'),
  highVersion: error(
    'unsupported',
    505,
    'http1.codec_error',
    'RFC 9110 §15.6.6',
    'The protocol version is not HTTP/1.1.',
  ),
  http2Preface: error(
    'http2_preface',
    400,
    'http1.codec_error',
    'RFC 9113 §3.4',
    'An HTTP/2 connection preface came where HTTP/1.1 is spoken.',
  ),
  tlsClientHello: error(
    'tls_client_hello',
    400,
    'http1.codec_error',
    'RFC 8446 §5.1',
    'A TLS handshake came where plain HTTP/1.1 is spoken.',
  ),
  badStatusLine: malformed('RFC 9112 §4', 'The status line is not "version SP three digits SP reason CRLF".'),
  badReason: malformed('RFC 9112 §4', 'The reason phrase holds a control character.'),

  // Header lines
  bareCr: malformed('RFC 9112 §2.2', 'A CR without LF.'),
  bareLf: malformed('RFC 9112 §2.2', 'A line ends with LF without CR.'),
  obsFold: malformed('RFC 9112 §5.2', 'A header line begins with white space (obs-fold).'),
  emptyName: malformed('RFC 9112 §5', 'A header line has no name.'),
  badName: malformed('RFC 9110 §5.1', 'A header name holds a character that no token may have.'),
  controlInName: malformed('RFC 9110 §5.1', 'A header name holds a control character.', 'http1.invalid_characters'),
  spaceBeforeColon: malformed('RFC 9112 §5.1', 'White space between header name and colon.'),
  missingColon: malformed('RFC 9112 §5', 'A header line has no colon.'),
  controlInValue: malformed('RFC 9110 §5.5', 'A header value holds a control character.', 'http1.invalid_characters'),
  headTooLarge: error(
    'headers_too_large',
    431,
    'http1.headers_too_large',
    'RFC 6585 §5',
    'Start line and headers are larger than max_request_headers_kb allows.',
  ),
  tooManyHeaders: error(
    'too_many_headers',
    431,
    'http1.too_many_headers',
    'RFC 6585 §5',
    'There are more headers than max_headers_count allows.',
  ),

  // What headers say
  missingHost: malformed('RFC 9112 §3.2', 'An HTTP/1.1 request has no Host.', 'missing_host_header'),
  severalHosts: malformed('RFC 9112 §3.2', 'A request has more than one Host.', 'http.invalid_authority'),
  badHost: malformed('RFC 9110 §7.2', 'The Host is not a host with an optional port.', 'http.invalid_authority'),
  badContentLength: malformed('RFC 9112 §6.3', 'The Content-Length is not one decimal number.'),
  severalContentLengths: malformed('RFC 9112 §6.3', 'There is more than one Content-Length.'),
  lengthAndChunked: malformed(
    'RFC 9112 §6.1',
    'Both Transfer-Encoding and Content-Length: two readers may see two different ends.',
    'http1.content_length_and_chunked_not_allowed',
  ),
  badTransferEncoding: error(
    'unsupported',
    501,
    'http1.invalid_transfer_encoding',
    'RFC 9112 §6.1',
    'The Transfer-Encoding is not exactly "chunked".',
  ),
  transferEncodingInHttp10: malformed(
    'RFC 9112 §6.1',
    'HTTP/1.0 has no Transfer-Encoding, so the framing is faulty.',
    'http1.transfer_encoding_not_allowed',
  ),
  bodyOfConnect: malformed('RFC 9110 §9.3.6', 'A CONNECT request has a body.', 'http1.body_disallowed'),
  badConnection: malformed(
    'RFC 9110 §7.6.1',
    'The Connection header names a header that is not its to remove, or too many.',
    'http1.connection_header_rejected',
  ),
  transferEncodingNotAllowed: malformed(
    'RFC 9112 §6.1',
    'A response with status 1xx or 204 has a Transfer-Encoding.',
    'http1.transfer_encoding_not_allowed',
  ),
  contentLengthNotAllowed: malformed(
    'RFC 9110 §8.6',
    'A response with status 1xx or 204 has a Content-Length above 0.',
    'http1.content_length_not_allowed',
  ),

  // Chunks
  badChunkSize: malformed('RFC 9112 §7.1', 'The chunk size is not a hexadecimal number.'),
  chunkSizeOverflow: malformed('RFC 9112 §7.1', 'The chunk size has more digits than a size can have.'),
  badChunkExtension: malformed('RFC 9112 §7.1.1', 'A chunk extension holds a control character.'),
  chunkExtensionsTooLarge: error(
    'malformed',
    413,
    'http1.codec_error',
    'RFC 9112 §7.1.1',
    'The chunk extensions of the message are larger than any use of them.',
  ),
  missingChunkEnd: malformed('RFC 9112 §7.1', 'No CRLF follows the data of a chunk.'),

  // Order of things
  unexpectedResponse: error(
    'unexpected_response',
    0,
    'http1.codec_error',
    'RFC 9112 §9.2',
    'Bytes came on a connection on which no response is due.',
  ),
  unexpectedUpgrade: error(
    'malformed',
    0,
    'http1.codec_error',
    'RFC 9110 §15.2.2',
    'Status 101 answers a request that asked for no upgrade.',
  ),
  tooManyInformational: error(
    'malformed',
    0,
    'http1.codec_error',
    'RFC 9110 §15.2',
    'More informational responses than any request needs.',
  ),
  endedBeforeMessage: error(
    'ended_before_message',
    0,
    'http1.codec_error',
    'RFC 9112 §9.5',
    'The connection ended before any byte of the message.',
  ),
  endedInHead: error('ended_in_head', 400, 'http1.codec_error', 'RFC 9112 §8', 'The connection ended inside a head.'),
  endedInBody: error('ended_in_body', 400, 'http1.codec_error', 'RFC 9112 §8', 'The connection ended inside a body.'),
} as const
