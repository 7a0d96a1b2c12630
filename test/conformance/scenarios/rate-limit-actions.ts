/** What the actions of rate limits make of a request: each scenario has a descriptor with an empty bucket. */
import type { Json } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'
import { actions, bucket, descriptor, limit, on } from './local-rate-limit-config.ts'

const cases: readonly { what: string; action: Json; entry: Record<string, string> }[] = [
  { what: 'generic_key', action: { generic_key: { descriptor_value: 'x' } }, entry: { generic_key: 'x' } },
  { what: 'source_cluster', action: { source_cluster: {} }, entry: { source_cluster: 'test-service' } },
  { what: 'destination_cluster', action: { destination_cluster: {} }, entry: { destination_cluster: 'app' } },
  { what: 'remote_address', action: { remote_address: {} }, entry: { remote_address: '127.0.0.1' } },
  {
    what: 'masked_remote_address',
    action: { masked_remote_address: { v4_prefix_mask_len: 16 } },
    entry: { masked_remote_address: '127.0.0.0/16' },
  },
  {
    what: 'query_parameters',
    action: { query_parameters: { query_parameter_name: 'q', descriptor_key: 'k' } },
    entry: { k: 'two words' },
  },
  {
    what: 'header_value_match',
    action: {
      header_value_match: { descriptor_value: 'v', headers: [{ name: 'x-m', string_match: { exact: '1' } }] },
    },
    entry: { header_match: 'v' },
  },
  {
    what: 'header_value_match that expects none',
    action: {
      header_value_match: {
        descriptor_value: 'v',
        expect_match: false,
        headers: [{ name: 'x-m', string_match: { exact: '2' } }],
      },
    },
    entry: { header_match: 'v' },
  },
  {
    what: 'query_parameter_value_match',
    action: {
      query_parameter_value_match: {
        descriptor_value: 'v',
        query_parameters: [{ name: 'q', string_match: { prefix: 'two' } }],
      },
    },
    entry: { query_match: 'v' },
  },
  {
    what: 'generic_key, whose value is not formatted',
    action: { generic_key: { descriptor_key: 'k', descriptor_value: '%REQ(x-m)%', default_value: 'd' } },
    entry: { k: '%REQ(x-m)%' },
  },
  {
    what: 'query_parameter_value_match, decoded',
    action: {
      query_parameter_value_match: {
        descriptor_value: 'v',
        query_parameters: [{ name: 'q', string_match: { exact: 'two words' } }],
      },
    },
    entry: { query_match: 'v' },
  },
  {
    what: 'remote_address_match, whose value is formatted',
    action: {
      remote_address_match: {
        descriptor_value: '%REQ(x-none)%',
        default_value: 'd',
        address_matcher: { ranges: [{ address_prefix: '10.0.0.0', prefix_len: 8 }], invert_match: true },
      },
    },
    entry: { remote_address_match: 'd' },
  },
  {
    what: 'remote_address_match',
    action: {
      remote_address_match: {
        descriptor_value: 'v',
        address_matcher: { ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
      },
    },
    entry: { remote_address_match: 'v' },
  },
  {
    what: 'metadata of the route',
    action: {
      metadata: {
        descriptor_key: 'k',
        metadata_key: { key: 'ns', path: [{ key: 'tier' }] },
        source: 'ROUTE_ENTRY',
      },
    },
    entry: { k: 'gold' },
  },
  {
    what: 'metadata that is absent has its default',
    action: {
      metadata: { descriptor_key: 'k', metadata_key: { key: 'ns', path: [{ key: 'no' }] }, default_value: 'd' },
    },
    entry: { k: 'd' },
  },
]

export const rateLimitActionScenarios: readonly FilterScenario[] = cases.map(({ what, action, entry }) => ({
  name: `local_ratelimit: action ${what}`,
  filters: [
    limit({
      ...on,
      token_bucket: bucket(100),
      rate_limits: [actions(action)],
      descriptors: [descriptor(entry, 0)],
    }),
  ],
  routes: [
    { match: { prefix: '/' }, route: { cluster: 'app' }, metadata: { filter_metadata: { ns: { tier: 'gold' } } } },
  ],
  steps: [{ path: '/p?q=two%20words', headers: { 'x-m': '1' }, expect: { status: 429 } }],
}))
