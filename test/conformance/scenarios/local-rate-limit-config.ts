/** Shorthands of local rate limits. */
import { always, type Json, typed } from './bootstrap.ts'

export const name = 'envoy.filters.http.local_ratelimit'
export const on = { filter_enabled: always, filter_enforced: always }
export const limitMessage = (fields: Record<string, Json>): Json =>
  typed('http.local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'rl', ...fields })
export const limit = (fields: Record<string, Json>): Json => ({ name, typed_config: limitMessage(fields) })

/** A bucket that does not fill during a test. */
export const bucket = (tokens: number, interval = '1000s'): Json => ({
  max_tokens: tokens,
  tokens_per_fill: Math.max(1, tokens),
  fill_interval: interval,
})
export const descriptor = (entries: Record<string, string>, tokens: number, more: Record<string, Json> = {}): Json => ({
  entries: Object.entries(entries).map(([key, value]) => ({ key, value })),
  token_bucket: bucket(tokens),
  ...more,
})
export const actions = (...list: Json[]): Json => ({ actions: list })
