/** `TcpKeepalive`: the kernel asks a peer that has been silent whether it is still there, and ends the connection if not. */
import type { Socket } from 'node:net'
import type { TcpKeepalive as TcpKeepaliveMessage } from '../config/schema/generated/types.ts'

export interface TcpKeepalive {
  /** Silence before the first probe. */
  readonly idleMs: number
  /** Between probes. */
  readonly intervalMs: number
  /** Probes without an answer after which the connection is given up. */
  readonly probes: number
}

/** What Linux does where nobody says otherwise (tcp(7)). Node sets all three, so what is not configured needs a value. */
const IDLE_S = 7200
const INTERVAL_S = 75
const PROBES = 9

/** Undefined for none: a 0 anywhere switches it off, as in Envoy. */
export function tcpKeepalive(message: TcpKeepaliveMessage | undefined): TcpKeepalive | undefined {
  if (message === undefined) return undefined
  const { keepaliveTime = IDLE_S, keepaliveInterval = INTERVAL_S, keepaliveProbes = PROBES } = message
  if (keepaliveTime === 0 || keepaliveInterval === 0 || keepaliveProbes === 0) return undefined
  return { idleMs: keepaliveTime * 1000, intervalMs: keepaliveInterval * 1000, probes: keepaliveProbes }
}

/** For a socket that is connected: before that the kernel has none to be told of. */
export function keepAlive(socket: Socket, settings: TcpKeepalive | undefined): void {
  if (settings !== undefined) socket.setKeepAlive(true, settings.idleMs, settings.intervalMs, settings.probes)
}
