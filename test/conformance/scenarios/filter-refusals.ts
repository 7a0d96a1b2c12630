/**
 * Configurations of filters and of HTTP/2, and what Envoy 1.40 says of them: `refused` is a part of its message, undefined
 * where it loads.
 */
import { type HttpListener, type Json, typed } from './bootstrap.ts'
import { bucket, descriptor, limit, limitMessage, name as limitName } from './local-rate-limit-config.ts'

export interface ConfigCase extends Omit<HttpListener, 'name'> {
  name: string
  refused: string | undefined
}

type Fields = Record<string, Json>

const filter = (name: string, type: string, fields: Fields): Json => ({
  name: `envoy.filters.http.${name}`,
  typed_config: typed(type, fields),
})
const mutation = (mutations: Fields) => [
  filter('header_mutation', 'http.header_mutation.v3.HeaderMutation', { mutations }),
]
const append = (key: string, value = 'x'): Json => ({ append: { header: { key, value } } })
const health = (fields: Fields) => [filter('health_check', 'http.health_check.v3.HealthCheck', fields)]
const fault = (fields: Fields) => [filter('fault', 'http.fault.v3.HTTPFault', fields)]
const buffer = (fields: Fields) => [filter('buffer', 'http.buffer.v3.Buffer', fields)]
const onHost = (name: string, message: Json): { readonly [key: string]: Json } => ({
  typed_per_filter_config: { [name]: message },
})
const perHostBuffer = (fields: Fields) => ({
  filters: buffer({ max_request_bytes: 1 }),
  virtualHost: onHost('envoy.filters.http.buffer', typed('http.buffer.v3.BufferPerRoute', fields)),
})

const notModified = ':-prefixed or host headers may not be modified'
const fill = (interval: string, tokens = 1): Json => ({ max_tokens: tokens, fill_interval: interval })
const byAddress = (more: Fields): Json => ({ actions: [{ remote_address: {} }], ...more })

const http2 = (name: string, options: Fields, refused?: string): ConfigCase => ({
  name: `HTTP/2: ${name}`,
  manager: { http2_protocol_options: options },
  refused,
})
const settings = (...list: readonly (readonly [identifier: number, value: number])[]): Fields => ({
  custom_settings_parameters: list.map(([identifier, value]) => ({ identifier, value })),
})

const http2ConfigCases: readonly ConfigCase[] = [
  http2('settings by number', settings([0x77, 1], [0x77, 1], [2, 0], [3, 1])),
  http2('a setting of two values', settings([0x77, 1], [0x77, 2]), 'inconsistent HTTP/2 custom SETTINGS'),
  http2('push', settings([2, 1]), 'server push is not supported'),
  http2('ENABLE_CONNECT_PROTOCOL by number', settings([8, 1]), '"allow_connect"'),
  http2(
    'by number and by name',
    { ...settings([3, 1]), max_concurrent_streams: 1 },
    'can not be configured through both named and custom parameters',
  ),
  http2('keep-alive without a timeout', { connection_keepalive: { interval: '1s' } }, 'Timeout'),
]

export const filterConfigCases: readonly ConfigCase[] = [
  ...http2ConfigCases,
  { name: 'mutating :path', filters: mutation({ request_mutations: [append(':path')] }), refused: notModified },
  { name: 'mutating host', filters: mutation({ request_mutations: [append('host')] }), refused: notModified },
  { name: 'mutating :status', filters: mutation({ response_mutations: [append(':status')] }), refused: notModified },
  { name: 'removing :path', filters: mutation({ request_mutations: [{ remove: ':path' }] }), refused: undefined },
  { name: 'removing host', filters: mutation({ request_mutations: [{ remove: 'host' }] }), refused: undefined },
  {
    name: 'a mutation of nothing',
    filters: mutation({ request_mutations: [{}] }),
    refused: '"action", reason: is required',
  },
  {
    name: 'remove_on_match without a matcher',
    filters: mutation({ request_mutations: [{ remove_on_match: {} }] }),
    refused: 'KeyMatcher: value is required',
  },
  {
    name: 'an unknown operator',
    filters: mutation({ request_mutations: [append('x-a', '%NOPE%')] }),
    refused: 'Not supported field in StreamInfo: NOPE',
  },
  {
    name: 'a lone percent sign',
    filters: mutation({ request_mutations: [append('x-a', '50%')] }),
    refused: "Incorrect configuration: 50%. Couldn't find valid command at position 2",
  },
  {
    name: 'a query mutation of nothing',
    filters: mutation({ query_parameter_mutations: [{}] }),
    refused: "One of 'append'/'remove' must be specified.",
  },
  {
    name: 'a query mutation of both kinds',
    filters: mutation({ query_parameter_mutations: [{ append: { record: { key: 'a', value: 'b' } }, remove: 'c' }] }),
    refused: "Only one of 'append'/'remove can be specified.",
  },
  {
    name: 'a query mutation without a record',
    filters: mutation({ query_parameter_mutations: [{ append: {} }] }),
    refused: 'No record specified for append mutation.',
  },
  {
    name: 'a query parameter that is a number',
    filters: mutation({ query_parameter_mutations: [{ append: { record: { key: 'a', value: 1 } } }] }),
    refused: 'Only string value is allowed for record value.',
  },
  { name: 'health_check without a mode', filters: health({}), refused: 'PassThroughMode: value is required' },
  {
    name: 'a health cache without pass-through',
    filters: health({ pass_through_mode: false, cache_time: '1s' }),
    refused: 'cache_time_ms must not be set when path_through_mode is disabled',
  },
  {
    name: 'a health cache of no time without pass-through',
    filters: health({ pass_through_mode: false, cache_time: '0s' }),
    refused: undefined,
  },
  {
    name: 'cluster percentages with pass-through',
    filters: health({ pass_through_mode: true, cluster_min_healthy_percentages: { a: { value: 1 } } }),
    refused: undefined,
  },
  {
    name: 'a cluster percentage above 100',
    filters: health({ pass_through_mode: false, cluster_min_healthy_percentages: { a: { value: 101 } } }),
    refused: 'Proto constraint validation failed',
  },
  {
    name: 'health_check on a virtual host',
    filters: health({ pass_through_mode: false }),
    virtualHost: onHost(
      'envoy.filters.http.health_check',
      typed('http.health_check.v3.HealthCheck', { pass_through_mode: false }),
    ),
    refused: "doesn't support virtual host or route specific configurations",
  },
  { name: 'a fault filter without faults', filters: fault({}), refused: undefined },
  {
    name: 'an abort with status 199',
    filters: fault({ abort: { http_status: 199 } }),
    refused: 'HTTPFaultValidationError.Abort',
  },
  { name: 'an abort without a status', filters: fault({ abort: {} }), refused: 'HTTPFaultValidationError.Abort' },
  { name: 'a delay without a time', filters: fault({ delay: {} }), refused: 'HTTPFaultValidationError.Delay' },
  {
    name: 'a delay of no time',
    filters: fault({ delay: { fixed_delay: '0s' } }),
    refused: 'HTTPFaultValidationError.Delay',
  },
  { name: 'an unknown gRPC status', filters: fault({ abort: { grpc_status: 99 } }), refused: undefined },
  {
    name: 'a rate limit of nothing',
    filters: fault({ response_rate_limit: { fixed_limit: { limit_kbps: 0 } } }),
    refused: 'HTTPFaultValidationError.ResponseRateLimit',
  },
  { name: 'a buffer without a limit', filters: buffer({}), refused: 'BufferValidationError.MaxRequestBytes' },
  {
    name: 'a buffer of no bytes',
    filters: buffer({ max_request_bytes: 0 }),
    refused: 'BufferValidationError.MaxRequestBytes',
  },
  { name: 'a route buffer of neither kind', ...perHostBuffer({}), refused: '"override", reason: is required' },
  { name: 'a route buffer that is not disabled', ...perHostBuffer({ disabled: false }), refused: 'must equal true' },
  {
    name: 'a route buffer without a limit',
    ...perHostBuffer({ buffer: {} }),
    refused: 'BufferPerRouteValidationError.Buffer',
  },
  { name: 'a local rate limit without a bucket', filters: [limit({})], refused: undefined },
  {
    name: 'a local rate limit without a bucket on a virtual host',
    filters: [limit({})],
    virtualHost: onHost(limitName, limitMessage({})),
    refused: 'local rate limit token bucket must be set for per filter configs',
  },
  {
    name: 'a bucket that fills every 40 ms',
    filters: [limit({ token_bucket: fill('0.04s') })],
    refused: 'must be >= 50ms',
  },
  {
    name: 'an empty bucket that fills every 40 ms',
    filters: [limit({ token_bucket: fill('0.04s', 0) })],
    refused: undefined,
  },
  { name: 'a bucket that fills in no time', filters: [limit({ token_bucket: fill('0s') })], refused: 'FillInterval' },
  {
    name: 'a descriptor bucket that fills every 40 ms',
    filters: [
      limit({ token_bucket: bucket(1), descriptors: [descriptor({ a: 'b' }, 1, { token_bucket: fill('0.04s') })] }),
    ],
    refused: 'local rate limit descriptor token bucket fill timer must be >= 50ms',
  },
  {
    name: 'a descriptor interval that is no multiple',
    filters: [
      limit({ token_bucket: fill('1s'), descriptors: [descriptor({ a: 'b' }, 1, { token_bucket: fill('1.5s') })] }),
    ],
    refused: undefined,
  },
  {
    name: 'a descriptor twice',
    filters: [limit({ token_bucket: bucket(1), descriptors: [descriptor({ a: 'b' }, 1), descriptor({ a: 'b' }, 2)] })],
    refused: 'duplicate descriptor in the local rate descriptor: a=b',
  },
  {
    name: 'a descriptor without entries',
    filters: [limit({ token_bucket: bucket(1), descriptors: [descriptor({}, 1)] })],
    refused: 'Entries',
  },
  {
    name: 'a descriptor without a bucket',
    filters: [limit({ token_bucket: bucket(1), descriptors: [{ entries: [{ key: 'a', value: 'b' }] }] })],
    refused: 'TokenBucket',
  },
  {
    name: 'a stage in rate_limits of the filter',
    filters: [limit({ token_bucket: bucket(1), rate_limits: [byAddress({ stage: 1 })] })],
    refused: "'stage' field and 'disable_key' field are not supported",
  },
  {
    name: 'a disable_key in rate_limits of the filter',
    filters: [limit({ token_bucket: bucket(1), rate_limits: [byAddress({ disable_key: 'a' })] })],
    refused: "'stage' field and 'disable_key' field are not supported",
  },
  {
    name: 'hits by number and by format',
    filters: [
      limit({
        token_bucket: bucket(1),
        rate_limits: [byAddress({ hits_addend: { number: 1, format: '%BYTES_RECEIVED%' } })],
      }),
    ],
    refused: 'hits_addend must contain either a format or a number',
  },
  { name: 'a local rate limit without a stat prefix', filters: [limit({ stat_prefix: '' })], refused: 'StatPrefix' },
  {
    name: 'no room for dynamic descriptors',
    filters: [limit({ token_bucket: bucket(1), max_dynamic_descriptors: 0 })],
    refused: 'MaxDynamicDescriptors',
  },
  { name: 'stage 11', filters: [limit({ token_bucket: bucket(1), stage: 11 })], refused: 'Stage' },
]
