/**
 * What a route does to the authority of a request: a literal, the value of a header, a part of the path, or a value
 * with operators. `auto_host_rewrite` is done later, when the host is known.
 */
import { textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RouteAction } from '../config/schema/generated/types.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import { formattedValue } from './formatted-value.ts'
import { pathOnly } from './match-input.ts'
import type { Mistakes } from './mistakes.ts'
import { regexRewrite } from './path-rewrite.ts'

/** The new authority, or '' to keep the old one. */
export type HostRewrite = (headers: RequestHeaders, context: FormatContext) => string

export function literalHost(host: string): HostRewrite {
  const bytes = textToBytes(host)
  return () => bytes
}

/** Compiles the host rewrite of a `RouteAction`, the current message of `mistakes`. */
export function hostRewrite(action: RouteAction, mistakes: Mistakes): HostRewrite | undefined {
  if (action.hostRewriteLiteral) return literalHost(action.hostRewriteLiteral)
  if (action.hostRewriteHeader) {
    const name = action.hostRewriteHeader.toLowerCase()
    return headers => headers.get(name) ?? ''
  }
  if (action.hostRewritePathRegex !== undefined) {
    const rewrite = regexRewrite(action.hostRewritePathRegex, 'host_rewrite_path_regex', mistakes)
    return rewrite && (headers => rewrite.replace(pathOnly(headers.path)))
  }
  if (action.hostRewrite) {
    // Alone among rewrites this one writes `-` for what is missing (measured).
    const value = formattedValue(action.hostRewrite, 'host_rewrite', mistakes, '-')
    return (_headers, context) => value.format(context)
  }
  return undefined
}

/**
 * Sets the authority. `appendForwarded` keeps the old one at the end of `x-forwarded-host`, unless it is there already;
 * `insertOriginal` in `x-envoy-original-host`.
 */
export function setAuthority(
  headers: RequestHeaders,
  host: string,
  appendForwarded: boolean,
  insertOriginal: boolean,
): void {
  const old = headers.authority
  if (appendForwarded && old !== '') {
    const forwarded = headers.get('x-forwarded-host')
    if (forwarded === undefined || forwarded === '') headers.set('x-forwarded-host', old)
    else if (forwarded.slice(forwarded.lastIndexOf(',') + 1) !== old)
      headers.set('x-forwarded-host', `${forwarded},${old}`)
  }
  if (insertOriginal) headers.set('x-envoy-original-host', old)
  headers.authority = host
}
