import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFailure, tlsSubCause, verdictOfDetails, verdictOfFacts } from '../../../sidecar/failure-origin/cause.ts'
import type { AttemptFacts } from '../../../sidecar/failure-origin/contract.ts'
import { ResponseFlag } from '../../../sidecar/observability/response-flags.ts'

test('what is a failure and what is none', () => {
  assert.equal(isFailure(500, -1, false, 'via_upstream', false), true)
  assert.equal(isFailure(404, -1, false, 'via_upstream', false), false, "an application's own 4xx")
  assert.equal(isFailure(404, -1, true, 'route_not_found', false), true)
  assert.equal(isFailure(429, -1, true, 'local_rate_limited', false), true)
  assert.equal(isFailure(301, -1, true, 'direct_response', false), false)
  assert.equal(isFailure(404, -1, true, 'direct_response', false), false, 'a configured answer')
  assert.equal(isFailure(503, -1, true, 'direct_response', false), true)
  assert.equal(isFailure(200, -1, false, 'via_upstream', true), true, 'cut short')
  const failed = [2, 4, 8, 13, 14, 15]
  for (let status = 0; status <= 16; status++) {
    assert.equal(isFailure(200, status, false, '', false), failed.includes(status), `grpc ${status}`)
  }
  assert.equal(isFailure(200, 12, true, 'route_not_found', false), true, 'a sidecar refuses over gRPC')
})

test('what the router saw becomes a cause, and is blamed on whom it concerns', () => {
  const cases: [facts: AttemptFacts, toApplication: boolean, expected: string][] = [
    [{ kind: 'connect_refused', details: '' }, false, 'connect_refused  callee'],
    [{ kind: 'connect_refused', details: '' }, true, 'app_down refused application'],
    [{ kind: 'connect_failed', details: 'TLS_error:|CERTIFICATE_VERIFY_FAILED' }, false, 'tls unknown_ca callee'],
    [{ kind: 'overflow', details: '', limit: 'pending' }, false, 'circuit_open pending self'],
    [{ kind: 'overflow', details: '', limit: 'error_rate' }, false, 'breaker_open  self'],
    [{ kind: 'overflow', details: '', limit: 'requests' }, true, 'circuit_open requests self'],
    [{ kind: 'no_host', details: '', noHost: 'dns', lastFailure: 'ENOTFOUND d' }, false, 'dns nxdomain callee'],
    [{ kind: 'no_host', details: '', noHost: 'all_ejected' }, false, 'no_healthy all_ejected callee'],
    [{ kind: 'terminated', details: '', reusedConnection: true }, false, 'terminated reused_connection callee'],
    [{ kind: 'route_timeout', details: '' }, false, 'timeout  callee'],
    [{ kind: 'route_timeout', details: '' }, true, 'app_timeout  application'],
    [{ kind: 'per_try_timeout', details: '' }, false, 'per_try_timeout  callee'],
    [{ kind: 'payload_too_large', details: '' }, false, 'too_large response callee'],
    [{ kind: 'no_cluster', details: '' }, false, 'no_cluster  self'],
  ]
  for (const [facts, toApplication, expected] of cases) {
    const { cause, subCause, blame } = verdictOfFacts(facts, toApplication)
    assert.equal(`${cause} ${subCause} ${blame}`, expected)
  }
})

test('response-code details and flags name the cause of local replies', () => {
  const cases: [details: string, flags: number, status: number, expected: string][] = [
    ['local_rate_limited', ResponseFlag.RateLimited, 429, 'rate_limited local self'],
    ['fault_filter_abort', ResponseFlag.FaultInjected, 503, 'fault_injected abort self'],
    ['upgrade_failed', 0, 403, 'denied upgrade self'],
    ['rbac_access_denied_matched_policy[p1]', 0, 403, 'denied rbac self'],
    ['request_payload_too_large', 0, 413, 'too_large request downstream'],
    ['route_not_found', ResponseFlag.NoRouteFound, 404, 'no_route  self'],
    ['cluster_not_found', ResponseFlag.NoClusterFound, 503, 'no_cluster  self'],
    ['no_healthy_upstream', ResponseFlag.NoHealthyUpstream, 503, 'no_healthy  callee'],
    ['stream_idle_timeout', ResponseFlag.StreamIdleTimeout, 504, 'stream_idle  callee'],
    ['stream_idle_timeout', ResponseFlag.StreamIdleTimeout, 408, 'stream_idle  downstream'],
    ['max_duration_timeout', 0, 408, 'max_duration  downstream'],
    ['max_duration_timeout', 0, 504, 'max_duration  callee'],
    ['low_version', ResponseFlag.DownstreamProtocolError, 426, 'protocol_error version downstream'],
    ['upstream_reset_before_response_started{overflow}', ResponseFlag.UpstreamOverflow, 503, 'circuit_open  self'],
    ['toString', 0, 418, 'protocol_error  downstream'],
    ['', 0, 503, 'unknown  self'],
  ]
  for (const [details, flags, status, expected] of cases) {
    const answered = { responseCodeDetails: details, responseFlags: flags, responseCode: status, grpcStatus: -1 }
    const { cause, subCause, blame } = verdictOfDetails(answered, false)
    assert.equal(`${cause} ${subCause} ${blame}`, expected)
  }
})

test('a reply in gRPC counts by the status that it stands for', () => {
  const reply = { responseCodeDetails: 'by_a_filter', responseFlags: 0, responseCode: 200 }
  assert.equal(verdictOfDetails({ ...reply, grpcStatus: 7 }, false).cause, 'denied')
  assert.equal(verdictOfDetails({ ...reply, grpcStatus: 16 }, false).cause, 'denied')
  assert.equal(verdictOfDetails({ ...reply, grpcStatus: 12 }, false).cause, 'no_route')
  assert.equal(verdictOfDetails({ ...reply, grpcStatus: 14 }, false).cause, 'unknown')
})

test('sub-causes of TLS are found in the texts of OpenSSL, BoringSSL and Node', () => {
  assert.equal(tlsSubCause('certificate has expired'), 'expired')
  assert.equal(tlsSubCause("Hostname/IP does not match certificate's altnames"), 'san_mismatch')
  assert.equal(tlsSubCause('verify_cert_failed:_SAN_matcher,_certificate_SANs_are_[x]'), 'san_mismatch')
  assert.equal(tlsSubCause('SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER'), 'plaintext_peer')
  assert.equal(tlsSubCause('self-signed certificate in certificate chain'), 'unknown_ca')
  assert.equal(tlsSubCause('tlsv13 alert certificate required'), 'client_cert_required')
})
