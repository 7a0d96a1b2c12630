/** Where our verdict on a request differs from Envoy's on purpose. */
export interface AllowedDifference {
  /** `file: name` in `test/corpus/http1/`. */
  readonly case: string
  /** Statuses that Envoy gives → that we give. */
  readonly verdicts: string
  readonly why: string
}

function allow(verdicts: string, why: string, ...cases: string[]): AllowedDifference[] {
  return cases.map(one => ({ case: one, verdicts, why }))
}

export const ALLOWED_DIFFERENCES: readonly AllowedDifference[] = [
  ...allow(
    '200 → 400',
    'RFC 9112 §2.2: a lone LF or CR ends a line for some readers only (TERM.EXT, TERM.SPILL and the like)',
    'body: a bare LF after the data of a chunk',
    'body: a bare LF ends the chunks',
    'body: a bare LF in a trailer',
    'headers: a bare CR in a value',
    'headers: a bare LF ends the head',
    'headers: a bare LF in a value',
    'smuggling: ONE.TWO',
    'smuggling: TE.TE: hidden by a bare LF',
    'smuggling: a version that smuggles by LF',
    'start-line: a bare CR before the request',
    'start-line: a bare LF after the request line',
    'start-line: a bare LF before the request',
    'start-line: two CR after the request line',
  ),
  ...allow('200 400 → 400', 'the same: Envoy takes the CR out of the value', 'smuggling: TE.TE: hidden by a bare CR'),
  ...allow(
    '200 200 → 400',
    'the same: for Envoy the trailers end at the LF',
    'smuggling: a request hidden in a trailer',
  ),
  ...allow(
    'none → 400',
    'the same, or junk: Envoy waits for more bytes where the mistake is already certain',
    'body: junk after the last chunk',
    'headers: a bare CR ends the head',
    'smuggling: TERM.SPILL',
    'start-line: a bare CR after the request line',
    'start-line: a method without end',
  ),
  ...allow(
    '200 → 400',
    'RFC 9112 §5.2: a server must refuse obs-fold or replace it; a reader that does neither sees another header',
    'body: a folded trailer',
    'headers: a folded line',
    'headers: a line folded with a tab',
    'headers: a line of white space',
    'smuggling: 0.CL: a length in a folded line',
    'smuggling: TE.TE: a line break before the value',
  ),
  ...allow(
    '200 → 400',
    'RFC 9112 §7.1: white space or control characters around a chunk size are read differently by different readers',
    'body: a chunk extension with a control character',
    'body: a tab after a chunk size',
    'body: white space after a chunk size',
    'body: white space before a chunk extension',
  ),
  ...allow(
    'none → 400',
    'sizes are counted exactly up to 2^53, and no size needs more than 16 digits',
    'body: a chunk size above 2^53',
    'body: a length above 2^53',
    'body: many zeros before a chunk size',
  ),
  ...allow('200 → 400', 'RFC 9112 §6.1: the framing of such a message is faulty', 'body: chunks over HTTP/1.0'),
  ...allow(
    '200 → 400',
    'RFC 9112 §3: single spaces; readers that split at any white space see another target',
    'start-line: a space after the version',
    'start-line: a tab after the method',
    'start-line: two spaces after the method',
    'start-line: two spaces after the target',
    'target: a tab in the target',
  ),
  ...allow(
    '200 → 400',
    'empty lines without end would keep a connection busy without a request',
    'start-line: five empty lines before the request',
  ),
  ...allow(
    '426 → 505',
    'RFC 9110 §15.6.6; Envoy takes every version but 1.1 for a lower one',
    'start-line: version 1.2',
    'start-line: version 2.0 in a request line',
  ),
  ...allow(
    '200 → 400',
    'RFC 9112 §3.2: more than one Host is refused; Envoy joins them with a comma',
    'smuggling: Host: two of them',
    'target: absolute-form with two Hosts',
    'target: the same Host twice',
    'target: two Hosts',
  ),
  ...allow(
    '200 → 400',
    'RFC 9110 §7.2: Host is uri-host and port; Envoy looks at the characters only',
    'target: a Host with a bad port',
    'target: a Host with a port too high',
    'target: a Host with an open bracket',
    'target: a Host with two ports',
    'target: a Host with userinfo',
  ),
  ...allow(
    '200 → 400',
    'RFC 9110 §4.2.4: userinfo hides the host; Envoy drops it',
    'smuggling: Host: userinfo that looks like a host',
    'target: absolute-form with userinfo',
  ),
  ...allow(
    '404 → 200',
    'RFC 9112 §3.2.1: an empty path is sent on as "/"; Envoy makes it "?q", which no route matches',
    'target: absolute-form with query and no path',
  ),
  ...allow('404 → 400', 'RFC 9112 §3.2: none of the four forms', 'target: asterisk with more'),
  ...allow('404 → 200', 'the connection manager answers 404, not the codec', 'target: asterisk-form'),
  ...allow('400 → 200', 'the connection manager answers 400, not the codec', 'target: a fragment'),
]
