/**
 * A response longer than it said: what the caller gets of it, whether its connection goes on, and (by the counters of
 * connections) on which one the next request goes up.
 */
import type { ExchangeScenario } from './exchange.ts'

/** Long enough for a connection that is to end late (`delayed_close_timeout`). */
const LATE_MS = 700
const next = { waitMs: 50 }

/** RFC 9113 §8.1.1: malformed; the frame that makes it so is not passed on. */
export const overlongHttp2: readonly ExchangeScenario[] = [
  {
    name: 'a response longer than its content-length, in one piece',
    upstreams: { app: [{ headers: { 'content-length': '2' }, body: 'abcdef' }, { body: 'next' }] },
    steps: [{}, next],
  },
  {
    name: 'a response longer than its content-length, in two pieces',
    upstreams: {
      app: [{ headers: { 'content-length': '4' }, chunks: ['ab', 'cdef'], chunkDelayMs: 40 }, { body: 'next' }],
    },
    steps: [{}, next],
  },
  {
    name: 'a response that goes on behind its content-length',
    upstreams: {
      app: [{ headers: { 'content-length': '2' }, chunks: ['ab', 'cdef'], chunkDelayMs: 40 }, { body: 'next' }],
    },
    steps: [{ connectionAfterMs: LATE_MS }, next],
  },
  {
    name: 'a response with a body that its content-length of 0 denies',
    upstreams: { app: [{ headers: { 'content-length': '0' }, body: 'abc' }, { body: 'next' }] },
    steps: [{ connectionAfterMs: LATE_MS }, next],
  },
]

/** RFC 9112 §6.3, §9.2: the message ends where it said, and what follows is nobody's answer. */
export const overlongHttp1: readonly ExchangeScenario[] = [
  {
    name: 'bytes behind a response',
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabcdef' }, { body: 'next' }] },
    steps: [{ connectionAfterMs: 100 }, next],
  },
  {
    name: 'a second response behind a response',
    upstreams: {
      app: [
        { raw: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil' },
        { body: 'next' },
      ],
    },
    steps: [{ connectionAfterMs: 100 }, next],
  },
  {
    name: 'bytes behind a response of no length',
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nabc' }, { body: 'next' }] },
    steps: [{ connectionAfterMs: 100 }, next],
  },
  {
    name: 'bytes behind a response that has no body by its status',
    upstreams: { app: [{ raw: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\nabc' }, { body: 'next' }] },
    steps: [{ connectionAfterMs: 100 }, next],
  },
  {
    name: 'bytes behind the last chunk',
    upstreams: {
      app: [{ raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nabc' }, { body: 'next' }],
    },
    steps: [{ connectionAfterMs: 100 }, next],
  },
]
