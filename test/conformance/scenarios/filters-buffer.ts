import { type Json, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'

const buffer = (bytes: number): Json => ({
  name: 'envoy.filters.http.buffer',
  typed_config: typed('http.buffer.v3.Buffer', { max_request_bytes: bytes }),
})

const route = (perRoute: Json): Json => ({
  match: { prefix: '/' },
  route: { cluster: 'app' },
  typed_per_filter_config: { 'envoy.filters.http.buffer': perRoute },
})

export const bufferScenarios: readonly FilterScenario[] = [
  {
    name: 'buffer: a chunked body arrives whole, with its length',
    filters: [buffer(100)],
    steps: [{ method: 'POST', chunks: ['abc', 'def'], expect: { status: 200 } }],
    expectUpstream: [{ body: 'abcdef', headers: { 'content-length': '6', 'transfer-encoding': null } }],
  },
  {
    name: 'buffer: a body with a length keeps it',
    filters: [buffer(100)],
    steps: [{ method: 'POST', body: 'abc', expect: { status: 200 } }],
    expectUpstream: [{ body: 'abc', headers: { 'content-length': '3' } }],
  },
  {
    name: 'buffer: a request without a body passes',
    filters: [buffer(5)],
    steps: [{ expect: { status: 200 } }, { method: 'POST', body: '', expect: { status: 200 } }],
    expectUpstream: [{ headers: { 'content-length': null } }, { headers: { 'content-length': '0' } }],
  },
  {
    name: 'buffer: an empty chunked body gets length 0',
    filters: [buffer(5)],
    steps: [{ method: 'POST', chunks: [], expect: { status: 200 } }],
    expectUpstream: [{ body: '' }],
  },
  {
    name: 'buffer: a body as large as the limit passes',
    filters: [buffer(6)],
    steps: [{ method: 'POST', chunks: ['abcdef'], expect: { status: 200 } }],
    expectUpstream: [{ body: 'abcdef' }],
  },
  {
    name: 'buffer: a chunked body beyond the limit is 413',
    filters: [buffer(5)],
    steps: [
      {
        method: 'POST',
        chunks: ['abc', 'def'],
        expect: {
          status: 413,
          body: 'Payload Too Large',
          headers: { 'content-type': 'text/plain', connection: 'close' },
          log: '413 - request_payload_too_large',
        },
      },
    ],
    stats: ['http.{prefix}.downstream_rq_too_large', 'http.{prefix}.downstream_rq_4xx'],
    expectUpstream: [],
  },
  {
    name: 'buffer: a length beyond the limit is 413',
    filters: [buffer(5)],
    steps: [{ method: 'POST', body: 'abcdef', expect: { status: 413, log: '413 - request_payload_too_large' } }],
    expectUpstream: [],
  },
  {
    name: 'buffer: a route may switch it off',
    filters: [buffer(5)],
    routes: [route(typed('http.buffer.v3.BufferPerRoute', { disabled: true }))],
    steps: [{ method: 'POST', chunks: ['abc', 'def'], expect: { status: 200 } }],
    expectUpstream: [{ body: 'abcdef', headers: { 'content-length': null, 'transfer-encoding': 'chunked' } }],
  },
  {
    name: 'buffer: a route may have another limit',
    filters: [buffer(100)],
    routes: [route(typed('http.buffer.v3.BufferPerRoute', { buffer: { max_request_bytes: 5 } }))],
    steps: [{ method: 'POST', chunks: ['abc', 'def'], expect: { status: 413 } }],
    expectUpstream: [],
  },
  {
    name: 'buffer: request trailers go where a body has a length',
    filters: [buffer(100)],
    routes: [{ match: { prefix: '/' }, route: { cluster: 'trailing' } }],
    manager: { http_protocol_options: { enable_trailers: true } },
    steps: [{ method: 'POST', chunks: ['abc'], trailers: [['x-sum', '1']], expect: { status: 200 } }],
    expectUpstream: [{ body: 'abc' }],
  },
]
