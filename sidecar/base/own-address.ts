import { networkInterfaces } from 'node:os'

let found: string | undefined

/**
 * The first IPv4 address of this machine that is not loopback, as Envoy chooses its own; loopback where there is no other.
 * Looked up once: what was written into requests before does not change with the interfaces either.
 */
export function ownIp(): string {
  found ??= lookUp() ?? '127.0.0.1'
  return found
}

function lookUp(): string | undefined {
  try {
    return Object.values(networkInterfaces())
      .flatMap(addresses => addresses ?? [])
      .find(({ family, internal }) => family === 'IPv4' && !internal)?.address
  } catch {
    // A sandbox that takes AF_NETLINK away (systemd's RestrictAddressFamilies, a seccomp profile) takes the answer away.
    return undefined
  }
}
