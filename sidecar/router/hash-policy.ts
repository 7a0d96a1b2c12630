/**
 * `hash_policy`: what of a request decides which host gets it, for ring hash and maglev. A 64-bit number (XXH64 of the
 * values, as in Envoy, mixed in the order of the policies), computed only when a load balancer asks.
 */
import { addressText } from '../base/address.ts'
import { textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RouteAction_HashPolicy, RouteAction_HashPolicy_Cookie } from '../config/schema/generated/types.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Mistakes } from './mistakes.ts'
import { type RegexRewrite, regexRewrite } from './path-rewrite.ts'
import { cookieValue, queryParameter } from './query-matcher.ts'
import { xxHash64 } from './xxhash64.ts'

/** Where cookies go that a policy makes for requests that have none. */
export interface SetCookieSink {
  /** `value` is a whole `set-cookie` header value, to be added to the response. */
  addSetCookie(value: string): void
}

interface HashMethod {
  readonly terminal: boolean
  hash(headers: RequestHeaders, info: StreamInfo, cookies: SetCookieSink | undefined): bigint | undefined
}

const MASK = (1n << 64n) - 1n

export class HashPolicy {
  readonly #methods: readonly HashMethod[]

  private constructor(methods: readonly HashMethod[]) {
    this.#methods = methods
  }

  /** Compiles `hash_policy` of the current message; undefined where there is none. */
  static compile(policies: readonly RouteAction_HashPolicy[], mistakes: Mistakes): HashPolicy | undefined {
    const methods = policies.flatMap((policy, index) => {
      const method = compileMethod(policy, mistakes.below(`hash_policy[${index}]`, policy))
      return method === undefined ? [] : [method]
    })
    return methods.length === 0 ? undefined : new HashPolicy(methods)
  }

  hash(headers: RequestHeaders, info: StreamInfo, cookies: SetCookieSink | undefined): bigint | undefined {
    let hash: bigint | undefined
    for (const method of this.#methods) {
      const next = method.hash(headers, info, cookies)
      if (next !== undefined) {
        // Rotated, so that two equal values do not cancel each other out.
        const old = hash === undefined ? 0n : ((hash << 1n) & MASK) | (hash >> 63n)
        hash = old ^ next
      }
      if (method.terminal && hash !== undefined) break
    }
    return hash
  }
}

function compileMethod(policy: RouteAction_HashPolicy, mistakes: Mistakes): HashMethod | undefined {
  const { terminal } = policy
  if (policy.header !== undefined) {
    const { headerName, regexRewrite: rewrite } = policy.header
    const regex = rewrite && regexRewrite(rewrite, 'header.regex_rewrite', mistakes)
    return new HeaderHash(headerName.toLowerCase(), regex, terminal)
  }
  if (policy.cookie !== undefined) return new CookieHash(policy.cookie, terminal)
  if (policy.queryParameter !== undefined) return new QueryHash(textToBytes(policy.queryParameter.name), terminal)
  if (policy.connectionProperties !== undefined) {
    return policy.connectionProperties.sourceIp ? new SourceIpHash(terminal) : undefined
  }
  if (policy.filterState !== undefined) {
    mistakes.warning('filter_state', 'no filter sets filter state yet: this policy gives no hash')
    return undefined
  }
  mistakes.error('', 'needs one of header, cookie, connection_properties, query_parameter, filter_state')
  return undefined
}

class HeaderHash implements HashMethod {
  readonly terminal: boolean
  readonly #name: string
  readonly #rewrite: RegexRewrite | undefined
  constructor(name: string, rewrite: RegexRewrite | undefined, terminal: boolean) {
    this.#name = name
    this.#rewrite = rewrite
    this.terminal = terminal
  }
  hash(headers: RequestHeaders): bigint | undefined {
    const value = headers.get(this.#name)
    if (value === undefined) return undefined
    const values = this.#name.startsWith(':') || this.#name === 'host' ? [value] : headers.getAll(this.#name)
    const rewrite = this.#rewrite
    const hashed = rewrite === undefined ? values : values.map(text => rewrite.replace(text))
    // Several headers of one name give the same hash in any order.
    return hashed.length === 1 ? xxHash64(hashed[0]!) : xxHash64(hashed.sort().join(''))
  }
}

class CookieHash implements HashMethod {
  readonly terminal: boolean
  readonly #name: string
  readonly #generates: boolean
  /** What follows the value in `set-cookie`. */
  readonly #attributes: string

  constructor(cookie: RouteAction_HashPolicy_Cookie, terminal: boolean) {
    this.terminal = terminal
    this.#name = textToBytes(cookie.name)
    this.#generates = cookie.ttl !== undefined
    const seconds = Math.floor((cookie.ttl ?? 0) / 1000)
    const age = seconds > 0 ? `; Max-Age=${seconds}` : ''
    const path = cookie.path === '' ? '' : `; Path=${cookie.path}`
    const others = cookie.attributes
      .map(({ name, value }) => (value === '' ? `; ${name}` : `; ${name}=${value}`))
      .join('')
    this.#attributes = textToBytes(`${age}${path}${others}; HttpOnly`)
  }

  hash(headers: RequestHeaders, info: StreamInfo, cookies: SetCookieSink | undefined): bigint | undefined {
    const value = cookieValue(headers, this.#name)
    if (value !== undefined && value !== '') return xxHash64(value)
    if (!this.#generates) return undefined
    // The same for all requests of a connection: those that race each other all get the same cookie.
    const { directRemote, local } = info.downstream
    const made = xxHash64(addressText(directRemote) + addressText(local)).toString(16)
    cookies?.addSetCookie(`${this.#name}="${made}"${this.#attributes}`)
    return xxHash64(made)
  }
}

class SourceIpHash implements HashMethod {
  readonly terminal: boolean
  constructor(terminal: boolean) {
    this.terminal = terminal
  }
  hash(_headers: RequestHeaders, info: StreamInfo): bigint | undefined {
    const { ip } = info.remote
    return ip === '' || ip.startsWith('/') || ip.startsWith('@') ? undefined : xxHash64(ip)
  }
}

class QueryHash implements HashMethod {
  readonly terminal: boolean
  readonly #name: string
  constructor(name: string, terminal: boolean) {
    this.#name = name
    this.terminal = terminal
  }
  hash(headers: RequestHeaders): bigint | undefined {
    const value = queryParameter(headers.path, this.#name)
    return value === undefined ? undefined : xxHash64(value)
  }
}
