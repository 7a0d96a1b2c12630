/** HTTP/2 connections (RFC 9113), both roles: `contract.ts` says how they are used. */
import { ClientConnection } from './client-connection.ts'
import type { MakeHttp2ClientConnection, MakeHttp2ServerConnection } from './contract.ts'
import { ServerConnection } from './server-connection.ts'

export const http2ServerConnection: MakeHttp2ServerConnection = (options, events, sink, counters) =>
  new ServerConnection(options, events, sink, counters)

export const http2ClientConnection: MakeHttp2ClientConnection = (options, events, sink, counters) =>
  new ClientConnection(options, events, sink, counters)
