/** What is measured, and what was promised of it (design.md, "Promises"). */
import type { LoadShape } from './load.ts'

export interface Workload {
  readonly name: string
  readonly shape: LoadShape
  /** Ours divided by Envoy's, at most. */
  readonly target?: number
  /** A round of it lasts so many times as long. */
  readonly longer?: number
}

/**
 * Each round begins with new connections. Of a second of small requests over TLS their handshakes would be a sixteenth of
 * our CPU time and a fiftieth of Envoy's; what a handshake costs has a row of its own.
 */
const PAST_HANDSHAKES = 4

/** CPU per request; stats on and tracing at 1 % unless the name says otherwise. */
export const WORKLOADS: readonly Workload[] = [
  {
    name: 'GET, 20 bytes, keep-alive',
    shape: { port: 'plain', path: '/', connections: 64 },
    target: 0.6,
  },
  { name: 'POST 4 KiB', shape: { port: 'plain', path: '/', connections: 64, postBytes: 4096 } },
  { name: 'GET, 64 KiB', shape: { port: 'plain', path: '/64k', connections: 64 }, target: 0.8 },
  { name: 'GET, 1 MiB', shape: { port: 'plain', path: '/1024k', connections: 16 }, target: 1 },
  {
    name: 'one connection per request',
    shape: { port: 'plain', path: '/', connections: 32, closeEach: true },
    target: 1,
  },
  { name: '50 routes, the last matches', shape: { port: 'routes', path: '/service-49/x', connections: 64 } },
  { name: 'tracing at 100 %', shape: { port: 'traced', path: '/', connections: 64 } },
  {
    name: 'GET over TLS 1.3, keep-alive',
    shape: { port: 'tls', path: '/', connections: 64 },
    target: 0.7,
    longer: PAST_HANDSHAKES,
  },
  {
    name: 'GET, 1 MiB over TLS 1.3',
    shape: { port: 'tls', path: '/1024k', connections: 16 },
    target: 1,
    longer: PAST_HANDSHAKES,
  },
  {
    name: 'TLS 1.3, one connection per request',
    shape: { port: 'tls', path: '/', connections: 32, closeEach: true },
  },
  {
    name: 'HTTP/2 to HTTP/2, 20 bytes',
    shape: { port: 'http2', path: '/', connections: 8, streams: 16 },
    target: 0.75,
  },
  { name: 'HTTP/2 to HTTP/2, 1 MiB', shape: { port: 'http2', path: '/1024k', connections: 4, streams: 4 }, target: 1 },
  {
    name: 'gRPC, unary, 20 bytes',
    shape: { port: 'http2', path: '/', connections: 8, streams: 16, grpc: true },
    target: 0.75,
  },
  {
    name: 'gRPC, unary, 1 MiB',
    shape: { port: 'http2', path: '/1024k', connections: 4, streams: 4, grpc: true },
    target: 1,
  },
  {
    // Messages per CPU second are at least Envoy's where a message costs at most as much.
    name: 'gRPC, server streaming, a message of 100 bytes',
    shape: { port: 'http2', path: '/stream/1000', connections: 8, streams: 4, grpc: true, messages: 1000 },
    target: 1,
  },
  { name: 'in and out again: two passes', shape: { port: 'inbound', path: '/', connections: 64 } },
]

/** Two worker threads against one, both of ours. */
export const WORKER_WORKLOADS: readonly Workload[] = [
  { name: 'two workers to one: GET, 20 bytes', shape: { port: 'plain', path: '/', connections: 64 }, target: 1.1 },
  {
    name: 'two workers to one: HTTP/2',
    shape: { port: 'http2', path: '/', connections: 64, streams: 2 },
    target: 1.1,
  },
]
/** Of the first of those. */
export const WORKER_SHARE_NAME = 'two workers: connections of the busier'
export const WORKER_SHARE_TARGET_PERCENT = 60

export const LEDGER_NAME = 'failure ledger, per request'
export const LEDGER_TARGET_US = 1
export const READY_NAME = 'ready after'
export const READY_TARGET_MS = 300
export const IDLE_NAME = 'RSS, idle'
export const IDLE_CONNECTIONS_NAME = 'RSS, 1,000 idle connections'
export const HTTP2_CONNECTION_NAME = 'memory of an idle HTTP/2 connection'
export const HTTP2_STREAM_NAME = 'memory of an open HTTP/2 stream, both sides'
export const LOAD_NAME = 'RSS, under load (GET)'
export const AFTER_NAME = 'RSS, after all of the above'
export const RSS_TARGET = 1.2

export const ROW_NAMES: readonly string[] = [
  ...WORKLOADS.map(({ name }) => name),
  ...WORKER_WORKLOADS.map(({ name }) => name),
  WORKER_SHARE_NAME,
  LEDGER_NAME,
  IDLE_NAME,
  IDLE_CONNECTIONS_NAME,
  HTTP2_CONNECTION_NAME,
  HTTP2_STREAM_NAME,
  LOAD_NAME,
  AFTER_NAME,
  READY_NAME,
]
