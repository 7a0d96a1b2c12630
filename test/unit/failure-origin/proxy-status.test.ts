import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  appendProxyStatus,
  foreignRecord,
  recordOf,
  serialiseRecord,
  takeProxyStatus,
} from '../../../sidecar/failure-origin/proxy-status.ts'
import { CAUSES, CONFIDENCES, type FailureRecord, letterFirst } from '../../../sidecar/failure-origin/record.ts'
import { parseList } from '../../../sidecar/failure-origin/structured-field.ts'
import { Headers } from './simulation.ts'

const RECORD: FailureRecord = {
  id: 'ef2c09aa13e0b7d1',
  origin: 'd',
  cause: 'connect_refused',
  subCause: '',
  by: 'c',
  link: 'c>d',
  path: ['d', 'c'],
  confidence: 'exact',
  likelihood: 1,
  span: '4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7',
  at: 0,
  attempts: 1,
  details: '',
}

function headersWith(...values: string[]): Headers {
  const headers = new Headers()
  for (const value of values) headers.add('proxy-status', value)
  return headers
}

test('the member reads as the specification writes it', () => {
  assert.equal(
    serialiseRecord(RECORD, 'c'),
    'c; error=connection_refused; failure-origin=d; failure-cause=connect_refused; failure-link="c>d"; ' +
      'failure-path="d,c"; failure-confidence=exact; failure-id=ef2c09aa13e0b7d1; ' +
      'failure-span="4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"',
  )
})

test("the specification's own example is read, although its id is no structured-field token", () => {
  const member =
    'c; error=connection_refused; failure-origin=d; failure-cause=connect_refused; failure-link="c>d"; ' +
    'failure-path="d,c"; failure-confidence=exact; failure-id=5f2c09aa13e0b7d1; failure-span="a-b"'
  const record = recordOf(parseList(member)[0]!)
  assert.equal(record?.id, '5f2c09aa13e0b7d1')
  assert.equal(record?.span, '', 'a span that is none is left out')
  assert.match(
    serialiseRecord(record!, 'b'),
    /failure-id="5f2c09aa13e0b7d1"/,
    'and written so that everybody can read it',
  )
})

test('our member goes last, foreign ones stay as they were', () => {
  const headers = headersWith('edge.example; error=http_response_timeout; details="a, \\"b\\""', 'plain')
  appendProxyStatus(headers, RECORD, 'c')
  assert.equal(headers.getAll('proxy-status').length, 1)
  const field = headers.get('proxy-status')!
  assert.ok(field.startsWith('edge.example; error=http_response_timeout; details="a, \\"b\\"", plain, c; error='))
  const received = takeProxyStatus(headers)
  assert.deepEqual({ ...received?.record, at: 0 }, RECORD)
  assert.equal(headers.get('proxy-status'), 'edge.example; error=http_response_timeout; details="a, \\"b\\"", plain')
})

test('a malformed member costs only itself', () => {
  const headers = headersWith(`@@@ !!, ${serialiseRecord(RECORD, 'c')}, (a b);x=1`)
  assert.equal(takeProxyStatus(headers)?.record?.id, RECORD.id)
  assert.equal(headers.get('proxy-status'), '@@@ !!, (a b);x=1')
})

test('whatever mentions our parameters is taken out, well-formed or not', () => {
  const headers = headersWith('x; failure-id=zz; failure-origin="a b"', '?? failure-id=1', 'fine')
  assert.equal(takeProxyStatus(headers)?.record, undefined)
  assert.equal(headers.get('proxy-status'), 'fine')
})

test('a record with a name outside of the character set is refused', () => {
  for (const bad of ['failure-origin="a\tb"', 'failure-origin="<script>"', 'failure-origin=""', 'failure-origin=?1']) {
    const text = serialiseRecord(RECORD, 'c').replace('failure-origin=d', bad)
    assert.equal(takeProxyStatus(headersWith(text))?.record, undefined, bad)
  }
})

test('a plain Envoy member is understood: its error, and its flags where these say more', () => {
  const of = (text: string) => foreignRecord(parseList(text)[0]!)
  const refused = of('b-ingress; error=connection_refused; details="upstream_reset_before_response_started{…}; UF"')
  assert.equal(refused, undefined, 'characters outside of ASCII are no structured field')
  const plain = of('b-ingress; error=connection_refused; details="upstream_reset_before_response_started{x}; UF"')
  assert.deepEqual([plain?.proxy, plain?.cause], ['b-ingress', 'connect_refused'])
  const overflow = of(
    'b; error=connection_terminated; details="upstream_reset_before_response_started{overflow}; URX,UO"',
  )
  assert.equal(overflow?.cause, 'circuit_open')
  assert.equal(of('b; error=proxy_internal_error; details="x; UH"')?.cause, 'no_healthy')
  assert.equal(of('b; received-status=200'), undefined)
  assert.equal(of('b; error=tls_certificate_error; next-hop=d')?.nextHop, 'd')
})

const name = fc.stringMatching(/^[A-Za-z0-9._/-]{1,128}$/)
const record: fc.Arbitrary<FailureRecord> = fc.record({
  id: fc.stringMatching(/^[0-9a-f]{16}$/).map(letterFirst),
  origin: name,
  cause: fc.constantFrom(...CAUSES),
  subCause: fc.stringMatching(/^[a-z0-9_]{0,40}$/),
  by: name,
  link: fc.tuple(name, name).map(ends => ends.join('>')),
  path: fc.array(name, { minLength: 1, maxLength: 8 }),
  confidence: fc.constantFrom(...CONFIDENCES),
  likelihood: fc.constantFrom(1, 0.5, 0.333, 0.02),
  span: fc.constantFrom('', RECORD.span),
  at: fc.constant(0),
  attempts: fc.integer({ min: 1, max: 9 }),
  details: fc.constant(''),
})

test('any record fits into 512 bytes and comes back with its id, origin, cause and confidence', () => {
  fc.assert(
    fc.property(record, name, (made, emitter) => {
      const text = serialiseRecord(made, emitter)
      assert.ok(text.length <= 512, `${text.length} bytes`)
      const back = takeProxyStatus(headersWith(text))?.record
      assert.ok(back !== undefined, text)
      for (const key of ['id', 'origin', 'cause', 'subCause', 'confidence', 'attempts', 'likelihood'] as const) {
        assert.equal(back[key], made[key])
      }
    }),
    { numRuns: 2000 },
  )
})

test('no field, however odd, makes the parser throw, hang or keep our parameters', () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom('"', '\\', ',', ';', '=', 'failure-id=', 'failure-origin=d', 'error=', '?1', '1.5', ' ', '(', ')'),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), pieces => {
      const headers = headersWith(pieces.join(''))
      takeProxyStatus(headers)
      const left = headers.get('proxy-status') ?? ''
      assert.equal(takeProxyStatus(headersWith(left))?.record, undefined)
      for (const member of parseList(left))
        for (const key of member.params.keys()) assert.ok(!key.startsWith('failure-'))
    }),
    { numRuns: 5000 },
  )
})

test('a field longer than any proxy sends is read in one pass', () => {
  const started = performance.now()
  takeProxyStatus(headersWith(`"${'\\"'.repeat(500_000)}`, 'a;'.repeat(100_000), ','.repeat(1_000_000)))
  // Anything but one pass would take minutes; the bound is far from both.
  assert.ok(performance.now() - started < 20_000)
})
