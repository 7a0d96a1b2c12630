/** `RedirectAction`: where a client is told to go instead. The texts are Envoy's, to the port and the query. */
import { textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RedirectAction } from '../config/schema/generated/types.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import { type FormattedValue, formattedValue } from './formatted-value.ts'
import type { Mistakes } from './mistakes.ts'
import type { PathMatch } from './path-match.ts'
import { type PathRewrite, textRewrite } from './path-rewrite.ts'

const STATUS = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
} as const

export class Redirect {
  readonly status: number
  readonly #scheme: string
  readonly #host: string
  readonly #port: string
  readonly #path: string
  readonly #pathValue: FormattedValue | undefined
  readonly #stripQuery: boolean
  readonly #rewrite: PathRewrite | undefined

  /** `action` is the current message of `mistakes`. */
  constructor(action: RedirectAction, match: PathMatch, mistakes: Mistakes) {
    this.status = STATUS[action.responseCode]
    this.#scheme = action.schemeRedirect || (action.httpsRedirect ? 'https' : '')
    this.#host = textToBytes(action.hostRedirect)
    this.#port = action.portRedirect === 0 ? '' : `:${action.portRedirect}`
    this.#path = textToBytes(action.pathRedirect ?? '')
    this.#stripQuery = action.stripQuery
    this.#rewrite = textRewrite(action, match, mistakes)
    this.#pathValue = action.pathRewrite ? formattedValue(action.pathRewrite, 'path_rewrite', mistakes) : undefined
    if (this.#stripQuery && this.#path.includes('?')) {
      mistakes.warning('strip_query', 'does not strip the query that path_redirect brings')
    }
  }

  /** Rewrites the request's path first, as Envoy does, so that the access log shows both. */
  location(headers: RequestHeaders, context: FormatContext, insertOriginal: boolean): string {
    const rewritten = this.#rewrite?.rewrite(headers, context) ?? ''
    if (rewritten !== '') {
      if (insertOriginal) headers.set('x-envoy-original-path', headers.path)
      headers.path = rewritten
    }
    const scheme = this.#scheme === '' ? headers.scheme : this.#scheme
    const host = this.#host === '' ? this.#requestHost(headers, scheme) : this.#host
    return `${scheme}://${host}${this.#port}${this.#target(headers, context)}`
  }

  /** The request's authority; its port goes when another is given, or when it was the default one of another scheme. */
  #requestHost(headers: RequestHeaders, scheme: string): string {
    const host = headers.authority
    let colon = host.startsWith('[') ? host.lastIndexOf(']:') : host.lastIndexOf(':')
    if (colon < 0) return host
    if (host.startsWith('[')) colon++
    const port = host.slice(colon)
    const old = headers.get('x-forwarded-proto') ?? headers.scheme
    const wasDefault = (old === 'https' && port === ':443') || (old === 'http' && port === ':80')
    return this.#port !== '' || (scheme !== old && wasDefault) ? host.slice(0, colon) : host
  }

  #target(headers: RequestHeaders, context: FormatContext): string {
    let target = headers.path
    const query = target.indexOf('?')
    const given = this.#pathValue?.format(context) || this.#path
    if (given !== '') {
      // A query of its own is kept, whatever strip_query says, and the request's does not come on top of it.
      if (given.includes('?')) return given.startsWith('/') ? given : `/${given}`
      target = query < 0 ? given : given + target.slice(query)
    }
    if (!target.startsWith('/')) target = `/${target}`
    if (!this.#stripQuery) return target
    const end = target.indexOf('?')
    return end < 0 ? target : target.slice(0, end)
  }
}

/** Envoy adds a location to direct responses of these statuses too: where the request went. */
export function ownLocation(status: number, headers: RequestHeaders): string | undefined {
  if (status !== 201 && (status < 300 || status > 399)) return undefined
  return `${headers.scheme}://${headers.authority}${headers.path}`
}

/** The redirect of `require_tls`: the same place over https. */
export class SslRedirect {
  readonly status = 301
  location(headers: RequestHeaders): string {
    return `https://${headers.authority}${headers.path}`
  }
}
