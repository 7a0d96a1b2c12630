/** What gRPC puts into headers: content type, status message, time left (gRPC over HTTP/2, "Requests", "Responses"). */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../header-map.ts'

const GRPC = 'application/grpc'
const PLUS = 0x2b

/** `application/grpc`, alone or with a codec (`application/grpc+proto`); with parameters it is not gRPC, as in Envoy. */
export function hasGrpcContentType(headers: HeaderMap | undefined): boolean {
  const type = headers?.get('content-type')
  if (type === undefined || !type.startsWith(GRPC)) return false
  return type.length === GRPC.length || type.charCodeAt(GRPC.length) === PLUS
}

export function isGrpcRequest(headers: RequestHeaders | undefined): boolean {
  return headers !== undefined && headers.path !== '' && hasGrpcContentType(headers)
}

/** An answer in gRPC: with a body only at HTTP 200, without one only with a status (Envoy: `isGrpcResponseHeaders`). */
export function isGrpcResponse(headers: ResponseHeaders, endStream: boolean): boolean {
  return endStream ? headers.has('grpc-status') : headers.status === 200 && hasGrpcContentType(headers)
}

/** `/package.Service/Method`, split; undefined for a path of any other form. The query does not belong to it. */
export function serviceAndMethod(path: string): readonly [service: string, method: string] | undefined {
  const query = path.indexOf('?')
  const end = query < 0 ? path.length : query
  const slash = path.indexOf('/', 1)
  if (path[0] !== '/' || slash <= 1 || slash >= end - 1 || path.lastIndexOf('/', end - 1) !== slash) return undefined
  return [path.slice(1, slash), path.slice(slash + 1, end)]
}

/**
 * `grpc-message` is percent-encoded: printable ASCII except `%` stands for itself. `text` has one character a byte.
 */
export function encodeGrpcMessage(text: string): string {
  return text.replace(/[^\x20-\x7e]|%/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

/** The other way, one character a byte. What is no escape stands for itself: a bad message must not hide the status. */
export function decodeGrpcMessage(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** Milliseconds of one unit. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** `grpc-timeout` in milliseconds, rounded up; undefined where it is missing or malformed. */
export function grpcTimeoutMs(headers: HeaderMap): number | undefined {
  const text = headers.get('grpc-timeout')
  if (text === undefined) return undefined
  const parts = /^(\d{1,8})([HMSmun])$/.exec(text)
  return parts === null ? undefined : Math.ceil(Number(parts[1]) * UNITS[parts[2]!]!)
}

const MAX_TIMEOUT_DIGITS = 99_999_999

/** What `grpc-timeout` says for so many milliseconds: the finest unit whose number has at most eight digits (Envoy). */
export function grpcTimeoutText(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole <= MAX_TIMEOUT_DIGITS) return `${whole}m`
  for (const [unit, size] of [
    ['S', 1000],
    ['M', 60_000],
  ] as const) {
    if (Math.floor(whole / size) <= MAX_TIMEOUT_DIGITS) return `${Math.floor(whole / size)}${unit}`
  }
  return `${Math.min(MAX_TIMEOUT_DIGITS, Math.floor(whole / 3_600_000))}H`
}
