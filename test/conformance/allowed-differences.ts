/**
 * Every difference from Envoy 1.40 that is meant, with the reason and where it is decided. An entry that no run needs
 * fails its suite: the list must not outlive its reasons.
 */
import type { AllowedDifference } from '../kit/side-by-side.ts'

export const allowedDifferences: readonly AllowedDifference[] = [
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
    suite: 'filters',
    scenario: /./,
    field: /^response \d+ header proxy-status$/,
    reason: 'Failed responses name the hop that failed; the suite calls from loopback, which is a trusted peer.',
    source: 'failure-origin.md, "Wire"',
  },
  {
    suite: 'filters',
    scenario: 'fault: an abort without a body',
    field: /^response \d+ header content-length$/,
    reason: 'Envoy announces the length of the abort text in a 204, which must not have a Content-Length.',
    source: 'RFC 9110 §8.6',
  },
  {
    suite: 'filters',
    scenario: 'buffer: a length beyond the limit is 413',
    field: 'response 1 header connection',
    reason: 'The request had come whole, so that its connection can serve the next one; Envoy closes it.',
    source: 'RFC 9112 §9.6',
  },
  {
    suite: 'replies',
    scenario: /./,
    field: /^response \d+ header proxy-status$/,
    reason: 'Failed responses name the hop that failed; the suite calls from loopback, which is a trusted peer.',
    source: 'failure-origin.md, "Wire"',
  },
]
