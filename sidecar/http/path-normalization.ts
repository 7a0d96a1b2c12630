/**
 * Path normalization (Envoy: `normalize_path`, `merge_slashes`, `path_with_escaped_slashes_action`), before routes and
 * filters see the path, so that none of them can be fooled by another spelling of it (RFC 3986 §6).
 */
import type { RequestHeaders } from '../codec/header-map.ts'
import type { LocalReply } from '../filter-chain/http-filter.ts'

export interface PathNormalization {
  readonly normalize: boolean
  readonly mergeSlashes: boolean
  readonly escapedSlashes: 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD'
}

const REJECTED: LocalReply = { status: 400, details: 'path_normalization_failed', close: true }

/** Changes `headers.path` in place; returns the reply where the request is not to go on. */
export function normalizeRequestPath(headers: RequestHeaders, policy: PathNormalization): LocalReply | undefined {
  const target = headers.path
  // A fragment is the caller's own (RFC 9110 §7.1); what it hides from one reader of the path another may act upon.
  if (target.includes('#')) return REJECTED
  if (!policy.normalize && !policy.mergeSlashes && policy.escapedSlashes === 'KEEP_UNCHANGED') return undefined
  if (target === '' || target[0] !== '/') return undefined
  const end = target.indexOf('?')
  let path = end < 0 ? target : target.slice(0, end)
  const rest = end < 0 ? '' : target.slice(end)
  let redirect = false
  if (policy.escapedSlashes !== 'KEEP_UNCHANGED' && /%(?:2f|5c)/i.test(path)) {
    if (policy.escapedSlashes === 'REJECT_REQUEST') return REJECTED
    path = path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\')
    redirect = policy.escapedSlashes === 'UNESCAPE_AND_REDIRECT'
  }
  if (policy.normalize) {
    const normal = removeDotSegments(path)
    if (normal === undefined) return REJECTED
    path = normal
  }
  if (policy.mergeSlashes) path = path.replace(/\/{2,}/g, '/')
  headers.path = path + rest
  if (!redirect) return undefined
  return { status: 307, details: 'path_normalization_failed', headers: [['location', headers.path]] }
}

/**
 * `/a/./b/../c` → `/a/c`, with `\` read as `/` and escaped unreserved characters unescaped, as Envoy (through the URL
 * canonicalizer of Chromium) does; undefined where a NUL makes it unsafe.
 */
export function removeDotSegments(path: string): string | undefined {
  if (!/[.%\\\0]/.test(path)) return path
  const plain = path.replaceAll('\\', '/').replace(/%([0-9a-fA-F]{2})/g, (escaped, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9\-._~]/.test(char) ? char : escaped
  })
  if (plain.includes('\0') || /%00/.test(plain)) return undefined
  const out: string[] = []
  const segments = plain.split('/')
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]!
    const last = i === segments.length - 1
    if (segment === '.' || segment === '..') {
      if (segment === '..') out.pop()
      if (last) out.push('')
    } else out.push(segment)
  }
  return `/${out.join('/')}`
}
