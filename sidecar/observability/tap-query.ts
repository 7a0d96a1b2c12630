/** Conditions of a tap from the parameters of a URL, and its events as lines. */
import { visible } from '../base/visible-text.ts'
import { DEFAULT_MAX_RPS, MAX_RPS, type TapEvent, type TapQuery } from './tap.ts'

/** Names and meaning, for `/help` and for those who mistype one. */
export const TAP_PARAMETERS: readonly { readonly name: string; readonly help: string }[] = [
  { name: 'proxy', help: 'in: requests to the application; out: its calls' },
  { name: 'method', help: 'Request method' },
  { name: 'path', help: 'Beginning of the path' },
  { name: 'authority', help: 'Host header, :authority' },
  { name: 'cluster', help: 'Cluster of the route' },
  { name: 'route', help: 'Name of the route' },
  { name: 'from', help: "IP address of the caller's socket" },
  { name: 'status', help: 'Status of the response: 503, 5xx or 500-504; 0 for none' },
  { name: 'origin', help: 'Service that began the failure' },
  { name: 'cause', help: 'Cause of the failure' },
  { name: 'failed', help: 'Only what failed' },
  { name: 'slower', help: 'Only what took longer than so many milliseconds' },
  { name: 'max_rps', help: `Requests a second at most (default ${DEFAULT_MAX_RPS}, at most ${MAX_RPS})` },
]

/** The query, or what is wrong with it in a sentence. */
export function parseTapQuery(parameters: URLSearchParams): TapQuery | string {
  const given = (name: string) => parameters.get(name) ?? ''
  const proxy = given('proxy')
  if (proxy !== '' && proxy !== 'in' && proxy !== 'out') return `proxy: in or out, not '${proxy}'`
  const status = statusRange(given('status'))
  if (status === null) return `status: 503, 5xx or 500-504, not '${given('status')}'`
  const slower = given('slower') === '' ? 0 : Number(given('slower'))
  if (!(slower >= 0 && slower < 1e9)) return `slower: milliseconds, not '${given('slower')}'`
  const maxRps = given('max_rps') === '' ? DEFAULT_MAX_RPS : Number(given('max_rps'))
  if (!(maxRps >= 1 && maxRps <= MAX_RPS)) return `max_rps: a number from 1 to ${MAX_RPS}, not '${given('max_rps')}'`
  return {
    proxy: proxy === '' ? undefined : proxy,
    method: given('method').toUpperCase(),
    path: given('path'),
    authority: given('authority'),
    cluster: given('cluster'),
    route: given('route'),
    from: given('from'),
    status,
    origin: given('origin'),
    cause: given('cause'),
    failed: parameters.has('failed') && given('failed') !== 'false',
    slowerThanMs: slower,
    maxRps,
  }
}

/** Undefined when not given, null when not understood. */
function statusRange(text: string): readonly [number, number] | undefined | null {
  if (text === '') return undefined
  const range = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(text)
  if (range !== null) {
    const first = Number(range[1])
    const last = Number(range[2] ?? first)
    return first <= last ? [first, last] : null
  }
  const hundreds = /^([1-5])xx$/i.exec(text)
  return hundreds === null ? null : [Number(hundreds[1]) * 100, Number(hundreds[1]) * 100 + 99]
}

/**
 * `req id=0:1 proxy=in src=10.0.0.1:5000 dst=… tls=true :method=GET :authority=a :path=/` and so on: Linkerd's lines, and
 * on `end` our own words behind them.
 */
export function tapLine(event: TapEvent): string {
  const { kind, id, proxy, src, dst, tls } = event
  const fields: (readonly [name: string, value: string])[] = [
    ['id', id],
    ['proxy', proxy],
    ['src', src],
    ['dst', dst],
    ['tls', String(tls)],
  ]
  if (kind === 'req') {
    fields.push([':method', event.method], [':authority', event.authority], [':path', event.path])
    if (event.route !== '') fields.push(['route', event.route])
    if (event.cluster !== '') fields.push(['cluster', event.cluster])
  } else if (kind === 'rsp') {
    fields.push([':status', String(event.status)], ['latency', duration(event.latencyMs)])
  } else {
    // One that never began has no response to speak of.
    if (event.latencyMs < 0) fields.push(['reset-error', event.details === '' ? 'unknown' : event.details])
    if (event.grpcStatus >= 0) fields.push(['grpc-status', String(event.grpcStatus)])
    fields.push(['duration', duration(event.durationMs)], ['response-length', `${event.responseBytes}B`])
    if (event.flags !== '-') fields.push(['flags', event.flags])
    if (event.retries > 0) fields.push(['retries', String(event.retries)])
    if (event.origin !== '') {
      fields.push(['origin', event.origin], ['cause', event.cause], ['role', event.role], ['hops', event.hops])
      fields.push(['failure-id', event.failureId])
    }
  }
  return `${kind} ${fields.map(([name, value]) => `${name}=${quoted(value)}`).join(' ')}`
}

/** Linkerd counts in microseconds; what takes longer than a second is easier to read in another unit. */
function duration(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(3)}s` : `${Math.round(ms * 1000)}µs`
}

/**
 * Much of a line came from the wire: nothing in it may move the cursor of a terminal, begin another line or look like
 * another field.
 */
function quoted(value: string): string {
  return /[\s"\\\p{C}]/u.test(value) || value === '' ? visible(JSON.stringify(value)) : value
}
