/** Words that the routing scenarios are written in. */
import type { Expectation, Step } from '../../kit/side-by-side.ts'
import type { Json } from './bootstrap.ts'

interface Fields {
  readonly [key: string]: Json
}

/** A route to a cluster. `action` adds to its `route`, `more` to the route itself. */
export function to(cluster: string, match: Fields, action: Fields = {}, more: Fields = {}): Json {
  return { match, route: { cluster, ...action }, ...more }
}

/** The route that takes what the others leave. */
export const rest: Json = to('app', { prefix: '/' })

/** GET of a path, answered by this upstream. */
export function get(path: string, upstream: string, more: Partial<Step> = {}): Step {
  return { path, ...more, expect: { status: 200, body: upstream } }
}

/** GET of a path that no route takes. */
export function none(path: string, more: Partial<Step> = {}): Step {
  return { path, ...more, expect: { status: 404, body: '' } }
}

/** GET of a path, answered without an upstream. */
export function answered(path: string, expect: Expectation, more: Partial<Step> = {}): Step {
  return { path, ...more, expect }
}

/** `string_match` of a header. */
export function header(name: string, stringMatch: Fields, more: Fields = {}): Json {
  return { name, string_match: stringMatch, ...more }
}

/** `/` to blue where these hold, else to app. */
export function blueIf(condition: Fields): readonly Json[] {
  return [to('blue', { prefix: '/', ...condition }), rest]
}

export function addHeader(key: string, value: string, action?: string, more: Fields = {}): Json {
  return { header: { key, value }, ...(action !== undefined && { append_action: action }), ...more }
}
