/** What connections and streams cost in memory while nothing is sent on them. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { getRequest, PREFACE, postHead, SETTINGS } from '../../kit/http2-frames.ts'
import type { BenchProxy } from './proxy.ts'

const CONNECTIONS = 1000
/** Together fewer than the 1024 requests that a cluster takes. */
const STREAM_CONNECTIONS = 10
const STREAMS_EACH = 100
/** Until garbage of the beginning has been collected, as far as it will be. */
const SETTLE_MS = 2000

/** In MB, with many HTTP/1.1 connections that have been used once and now wait. */
export async function rssWithIdleConnections(proxy: BenchProxy): Promise<number> {
  const request = Buffer.from('GET / HTTP/1.1\r\nhost: bench\r\n\r\n')
  return await rssWith(proxy, proxy.ports.plain, CONNECTIONS, request)
}

/** Of connections of clients that have been used once and now wait. */
export async function kilobytesPerConnection(proxy: BenchProxy): Promise<number> {
  const first = Buffer.concat([PREFACE, SETTINGS, getRequest(1)])
  return (await kilobytesMore(proxy, CONNECTIONS, first)) / CONNECTIONS
}

/** Of streams whose request's head has come and gone on to the upstream, and whose body has not begun. */
export async function kilobytesPerStream(proxy: BenchProxy): Promise<number> {
  const heads = Array.from({ length: STREAMS_EACH }, (_, i) => postHead(2 * i + 1))
  const first = Buffer.concat([PREFACE, SETTINGS, ...heads])
  return (await kilobytesMore(proxy, STREAM_CONNECTIONS, first)) / (STREAM_CONNECTIONS * STREAMS_EACH)
}

/** By how much memory grows with these connections; what the first of all brings along is left out. */
async function kilobytesMore(proxy: BenchProxy, connections: number, first: Buffer): Promise<number> {
  await rssWith(proxy, proxy.ports.http2, 1, first)
  const before = proxy.rssMb()
  const after = await rssWith(proxy, proxy.ports.http2, connections, first)
  return (after - before) * 1024
}

/** In MB, while so many connections are open on which `first` was sent and something was answered. */
async function rssWith(proxy: BenchProxy, port: number, connections: number, first: Buffer): Promise<number> {
  const sockets: Socket[] = []
  for (let i = 0; i < connections; i++) {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.write(first)
    await once(socket, 'data')
    socket.resume()
  }
  await pause(SETTLE_MS)
  const rss = proxy.rssMb()
  for (const socket of sockets) socket.destroy()
  await pause(500)
  return rss
}
