/** One end of a connection, as text and number: `127.0.0.1` and 8080, `::1` and 443, or a pipe's path with port 0. */
export interface Address {
  readonly ip: string
  readonly port: number
}

/** `127.0.0.1:8080`, `[::1]:443`, or the path of a pipe: the form Envoy prints addresses in. */
export function addressText(address: Address): string {
  if (address.ip.startsWith('/') || address.ip.startsWith('@')) return address.ip
  return address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`
}

/** The loopback address itself, and not its whole range: Envoy's `isLoopbackAddress`, for `source_type` and XFF. */
export function isLoopbackAddress(ip: string): boolean {
  return ip === '127.0.0.1' || ip === '::1'
}
