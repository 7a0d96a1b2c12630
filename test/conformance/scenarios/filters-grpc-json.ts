/** JSON in, gRPC out, and back: what the transcoder does, over HTTP/1.1 with trailers. */
import { shelfDescriptors } from '../../kit/shelf-service.ts'
import { type Json, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'
import { answer, delayed, message, trailing } from './filters-grpc.ts'

type Fields = { readonly [key: string]: Json }

const config = (fields: Fields = {}): Json =>
  typed('http.grpc_json_transcoder.v3.GrpcJsonTranscoder', {
    proto_descriptor_bin: Buffer.from(shelfDescriptors).toString('base64'),
    services: ['lib.v1.Shelves'],
    ...fields,
  })
const transcoder = (fields: Fields = {}): Json => ({
  name: 'envoy.filters.http.grpc_json_transcoder',
  typed_config: config(fields),
})

/** `{id: 5, display_name: "tall", kind: KIND_TALL, tags: ["a", "b"], open: true}` */
const SHELF = '\x08\x05\x12\x04tall\x18\x01\x22\x01a\x22\x01b\x28\x01'

const scenario = (name: string, fields: Fields, more: Omit<FilterScenario, 'name'>): FilterScenario => ({
  name: `transcoder: ${name}`,
  filters: [transcoder(fields)],
  ...trailing,
  upstreams: { app: [answer(0, [SHELF])] },
  ...more,
})
const get = (path: string) => ({ path })
const post = (path: string, body: string, type = 'application/json') => ({
  method: 'POST',
  path,
  body,
  headers: { 'content-type': type },
})
const status = (code: number, text?: string, details?: string) =>
  answer(code, [], {
    trailers: [
      ['grpc-status', String(code)],
      ...(text === undefined ? [] : [['grpc-message', text] as const]),
      ...(details === undefined ? [] : [['grpc-status-details-bin', details] as const]),
    ],
  })

/** With a delay that keeps the request from its upstream until the body has been seen. */
const refusing = (name: string, fields: Fields, more: Omit<FilterScenario, 'name'>): FilterScenario => ({
  ...scenario(name, fields, more),
  filters: [transcoder(fields), delayed],
})

export const grpcJsonScenarios: readonly FilterScenario[] = [
  scenario(
    'fields from path and query',
    {},
    {
      steps: [
        get('/v1/shelves/5'),
        get('/v1/shelves/5?name=x&deep=true&weight=1.5&kind=KIND_TALL&tags=a&tags=b&shelf.display_name=n&shelf.tags=t'),
        get('/v1/shelves/5?shelf.displayName=json'),
        get('/v1/shelves/7/first'),
        get('/v1/find/a/b/c'),
        get('/v1/find'),
        { method: 'PURGE', path: '/v1/shelves/9' },
        get('/v1/shelves/5?kind=1&deep'),
        get('/v1/shelves/5?name=a+b%20c%2Fd&name=last'),
      ],
    },
  ),
  scenario(
    'escapes in paths',
    {},
    { steps: [get('/v1/find/a%2Fb%20c/%C3%A9'), get('/v1/shelves/%35'), get('/v1/shelves/a%2fb/first')] },
  ),
  scenario(
    'escapes in paths but the slash',
    { url_unescape_spec: 'ALL_CHARACTERS_EXCEPT_SLASH' },
    { steps: [get('/v1/find/a%2Fb%3Fc/d')] },
  ),
  scenario(
    'all escapes in paths',
    { url_unescape_spec: 'ALL_CHARACTERS', query_param_unescape_plus: true },
    { steps: [get('/v1/find/a%2Fb%3Fc?tags=a+b')] },
  ),
  scenario(
    'bodies',
    {},
    {
      steps: [
        post('/v1/shelves', '{"id":"5","displayName":"n","kind":"KIND_TALL","tags":["a"],"open":true}'),
        post('/v1/shelves?name=q', '{"id":5,"display_name":"n","kind":1}'),
        post('/v1/shelves:make', '{"id":7,"shelf":{"id":8}}'),
        post('/v1/shelves/3', '{"id":7,"name":"n"}'),
        post('/v1/shelves', ''),
        post('/v1/shelves:make', ''),
        post('/v1/shelves', '{"unknown":1}'),
        { ...post('/v1/shelves', ''), chunks: ['{"id', '":5}'] },
      ],
    },
  ),
  refusing(
    'bodies that are none',
    {},
    {
      steps: ['{', '[]', '{"id":"x"}', '{"kind":"NO"}', 'text', '{"id":1}x'].map(body => ({
        ...post('/v1/shelves', body),
        expect: { status: 400 },
      })),
    },
  ),
  scenario(
    'values that are none',
    {},
    { steps: ['id=x', 'deep=maybe', 'kind=NO', 'weight=x', 'shelf=x'].map(query => get(`/v1/watch?${query}`)) },
  ),
  scenario(
    'requests that no rule is for pass',
    {},
    {
      upstreams: { app: [{ status: 200, body: 'as it was' }] },
      steps: [
        get('/v2/shelves/5'),
        get('/v1/shelves/5?unknown=1'),
        { method: 'DELETE', path: '/v1/shelves/5' },
        { ...post('/lib.v1.Shelves/Get', message('')), headers: { 'content-type': 'application/grpc' } },
        post('/lib.v1.Shelves/Auto', '{}'),
      ],
    },
  ),
  scenario(
    'unless they are to be refused',
    { request_validation_options: { reject_unknown_method: true, reject_unknown_query_parameters: true } },
    {
      steps: [
        get('/v2/shelves/5'),
        get('/v1/shelves/5?unknown=1'),
        get('/v1/shelves/5?shelf.none=1'),
        post('/v1/shelves/3', '{"id":7}'),
      ],
    },
  ),
  refusing(
    'collisions of body and path',
    { request_validation_options: { reject_binding_body_field_collisions: true } },
    {
      steps: [
        post('/v1/shelves/3', '{"id":7}'),
        post('/v1/shelves/3', '{"id":3}'),
        post('/v1/shelves/3', '{"name":"x"}'),
      ],
    },
  ),
  scenario(
    'parameters that are to be ignored',
    { ignored_query_parameters: ['key'], ignore_unknown_query_parameters: true, match_incoming_request_route: true },
    {
      steps: [get('/v1/shelves/5?key=1&other=2&name=x')],
    },
  ),
  scenario('methods without a rule', { auto_mapping: true }, { steps: [post('/lib.v1.Shelves/Auto', '{"id":1}')] }),
  scenario(
    'enums in any case',
    { case_insensitive_enum_parsing: true },
    { steps: [post('/v1/shelves', '{"kind":"kind_tall"}'), get('/v1/shelves/5?kind=Kind-Tall')] },
  ),
  scenario(
    'how answers are printed',
    {},
    {
      upstreams: { app: [answer(0, [SHELF]), answer(0, ['']), answer(0, ['\x18\x07'])] },
      steps: [1, 2, 3].map(() => get('/v1/shelves/5')),
    },
  ),
  scenario(
    'how answers are printed when all is asked for',
    {
      print_options: {
        add_whitespace: true,
        always_print_primitive_fields: true,
        always_print_enums_as_ints: true,
        preserve_proto_field_names: true,
      },
    },
    { upstreams: { app: [answer(0, [SHELF]), answer(0, [''])] }, steps: [1, 2].map(() => get('/v1/shelves/5')) },
  ),
  scenario(
    'statuses',
    {},
    {
      upstreams: {
        app: [
          status(5, 'no%20shelf'),
          { headers: { 'content-type': 'application/grpc', 'grpc-status': '7', 'grpc-message': 'no' } },
          answer(0, []),
          answer(0, [SHELF], { trailers: [['a', 'b']] }),
          answer(13, [SHELF]),
          { status: 503, body: 'down' },
          { status: 200, body: 'no gRPC' },
        ],
      },
      steps: [1, 2, 3, 4, 5, 6, 7].map(() => get('/v1/shelves/5')),
    },
  ),
  scenario(
    'statuses as JSON',
    { convert_grpc_status: true },
    {
      upstreams: {
        app: [
          status(5, 'no%20shelf'),
          status(5),
          { headers: { 'content-type': 'application/grpc', 'grpc-status': '7', 'grpc-message': 'no' } },
          status(5, 'x', Buffer.from('\x08\x05\x12\x04full', 'latin1').toString('base64')),
          answer(13, [SHELF]),
          answer(0, []),
        ],
      },
      steps: [1, 2, 3, 4, 5, 6].map(() => get('/v1/shelves/5')),
    },
  ),
  scenario(
    'streams as an array',
    {},
    {
      upstreams: {
        app: [
          answer(0, [SHELF, '\x08\x06']),
          answer(0, []),
          answer(14, [SHELF]),
          { headers: { 'content-type': 'application/grpc', 'grpc-status': '7' } },
        ],
      },
      steps: [1, 2, 3, 4].map(() => get('/v1/watch')),
    },
  ),
  scenario(
    'streams as lines',
    { print_options: { stream_newline_delimited: true } },
    { upstreams: { app: [answer(0, [SHELF, '\x08\x06']), answer(0, [])] }, steps: [1, 2].map(() => get('/v1/watch')) },
  ),
  scenario(
    'streams as events',
    { print_options: { stream_sse_style_delimited: true } },
    { upstreams: { app: [answer(0, [SHELF, '\x08\x06'])] }, steps: [get('/v1/watch')] },
  ),
  scenario(
    'streams of requests',
    {},
    {
      steps: [
        post('/v1/upload', '[{"id":1},{"id":2}]'),
        post('/v1/upload?name=n', '[{"id":1}, {"id":2}]'),
        post('/v1/upload', '[]'),
      ],
    },
  ),
  refusing(
    'streams of requests that are none',
    {},
    {
      steps: [post('/v1/upload', '[{"id":1}'), post('/v1/upload', '')],
    },
  ),
  scenario(
    'bodies of any type',
    {},
    {
      upstreams: { app: [answer(0, ['\x0a\x09text/html\x12\x04<p/>']), answer(0, ['\x12\x01x'])] },
      steps: [post('/v1/raw', 'plain bytes', 'text/plain'), post('/v1/raw?x=y', '', 'text/plain'), get('/v1/raw')],
    },
  ),
  scenario(
    'parameters captured',
    { capture_unknown_query_parameters: true },
    { upstreams: { app: [answer(0, ['\x12\x01x'])] }, steps: [post('/v1/raw?x=y&x=z', 'body', 'text/plain')] },
  ),
  refusing(
    'bodies that are too large',
    { max_request_body_size: 10, max_response_body_size: 5 },
    {
      steps: [post('/v1/shelves', '{"id":"123456"}'), get('/v1/shelves/5')],
    },
  ),
  {
    ...scenario('routes may have their own, or none', {}, { steps: [get('/v1/shelves/5'), get('/v1/find/x')] }),
    routes: [
      {
        match: { prefix: '/v1/find' },
        route: { cluster: 'app' },
        typed_per_filter_config: {
          'envoy.filters.http.grpc_json_transcoder': typed('http.grpc_json_transcoder.v3.GrpcJsonTranscoder', {
            proto_descriptor_bin: '',
          }),
        },
      },
      ...trailing.routes,
    ],
  },
]
