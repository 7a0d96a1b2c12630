/** Where our verdict on HTTP/2 frames differs from Envoy's on purpose. */
import { type AllowedDifference, allow } from './verdicts.ts'

export const ALLOWED_DIFFERENCES: readonly AllowedDifference[] = [
  ...allow(
    'GOAWAY PROTOCOL_ERROR → GOAWAY ENHANCE_YOUR_CALM',
    'RFC 9113 §10.5.1: a header block beyond all limits ends the connection; Envoy reads on, until another frame is one too many',
    'floods: CONTINUATION without end',
  ),
  ...allow(
    '3: answered → 1: reset STREAM_CLOSED, 3: answered',
    'RFC 9113 §5.1: whoever goes on after its own RST_STREAM is told so; Envoy ignores it',
    'frames: DATA behind the own reset',
  ),
  ...allow(
    'GOAWAY FRAME_SIZE_ERROR → 3: reset FRAME_SIZE_ERROR, 5: answered',
    'RFC 9113 §6.3: an error of the stream; Envoy ends the connection',
    'frames: PRIORITY of a wrong size',
  ),
  ...allow(
    'GOAWAY FRAME_SIZE_ERROR → 1: reset FRAME_SIZE_ERROR',
    'RFC 9113 §6.3: an error of the stream; Envoy ends the connection',
    'frames: PRIORITY of a wrong size on a stream under way',
  ),
  ...allow(
    '1: answered → 1: reset PROTOCOL_ERROR',
    'RFC 7540 §5.3.1: a stream cannot depend on itself; Envoy does not look',
    'frames: PRIORITY on the stream itself',
  ),
  ...allow(
    '5: answered → GOAWAY STREAM_CLOSED',
    'RFC 9113 §5.1.1: a stream below one that was opened is closed; Envoy ignores it',
    'frames: an old stream',
  ),
  ...allow(
    '1: answered → 1: reset PROTOCOL_ERROR',
    'RFC 9113 §8.2.1: no white space around a value, which HTTP/1.1 behind us would drop',
    'malformed: a space before a value',
    'malformed: a tab behind a value',
  ),
  ...allow('1: answered → 1: reset PROTOCOL_ERROR', 'RFC 3986 §3.2.3: no TCP port', 'malformed: a port out of range'),
  ...allow(
    '1: answered, 3: reset REFUSED_STREAM, 5: reset REFUSED_STREAM → 1: answered, 3: reset REFUSED_STREAM, 5: answered',
    'the codec alone answers at once, so that the first stream is over when the last comes; a proxy answers later',
    'request: a refused stream',
  ),
  ...allow(
    'none → GOAWAY PROTOCOL_ERROR',
    'RFC 8441 §3: what was offered must not be taken back; Envoy does not look at it',
    'settings: SETTINGS_ENABLE_CONNECT_PROTOCOL taken back',
  ),
  ...allow(
    '1: reset FLOW_CONTROL_ERROR → GOAWAY FLOW_CONTROL_ERROR',
    'RFC 9113 §6.9.2: an error of the connection; Envoy resets the stream',
    'windows: SETTINGS make a window overflow',
  ),
  ...allow(
    'closed → 1: reset PROTOCOL_ERROR, 3: answered',
    'RFC 9113 §6.9: an error of the stream; Envoy ends the connection',
    'windows: an increment of 0 on a stream',
  ),
  ...allow(
    'closed → 1: reset FLOW_CONTROL_ERROR, 3: answered',
    'RFC 9113 §6.9.1: an error of the stream; Envoy ends the connection',
    'windows: the window of a stream overflows',
  ),
]
