/** Load by wrk, or h2load for HTTP/2, from the other core, and what the proxy spent on it. */
import { part } from '../../kit/parts.ts'
import { run } from '../../kit/process.ts'
import { temporaryFile } from '../../kit/proxy-process.ts'
import { type BenchProxy, LOAD_CORE } from './proxy.ts'

export interface LoadShape {
  /** `http2` is spoken to in HTTP/2. */
  readonly port: 'plain' | 'routes' | 'traced' | 'inbound' | 'tls' | 'http2'
  readonly path: string
  readonly connections: number
  /** Requests under way on each connection; HTTP/2 only. */
  readonly streams?: number
  readonly postBytes?: number
  readonly closeEach?: boolean
  /** A gRPC call with a message of 20 bytes; HTTP/2 only. */
  readonly grpc?: boolean
  /** In each answer, where CPU time per message is wanted. */
  readonly messages?: number
}

/** 20 bytes, not compressed. */
const GRPC_MESSAGE = `\0\0\0\0\x14${'x'.repeat(20)}`

export interface LoadResult {
  readonly requests: number
  /** Per message, where the shape counts those. */
  readonly cpuUsPerRequest: number
  readonly requestsPerSecond: number
  /** The highest of some readings while the load ran. */
  readonly rssMb: number
}

const scripts = new Map<number, string>()

function postScript(bytes: number): string {
  let file = scripts.get(bytes)
  if (file === undefined) {
    file = temporaryFile('post.lua', `wrk.method = "POST"\nwrk.body = string.rep("x", ${bytes})\n`)
    scripts.set(bytes, file)
  }
  return file
}

async function wrk(shape: LoadShape, seconds: number): Promise<string[]> {
  const args = [await part('wrk'), '-t1', `-c${shape.connections}`, `-d${seconds}s`, '--timeout', '10s']
  if (shape.postBytes !== undefined) args.push('-s', postScript(shape.postBytes))
  if (shape.closeEach === true) args.push('-H', 'Connection: close')
  return args
}

function readWrk(output: string): { requests: number; failed: string } {
  const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: .*/.exec(output)
  return { requests: Number(/(\d+) requests in/.exec(output)?.[1] ?? 0), failed: failed?.[0] ?? '' }
}

async function h2load(shape: LoadShape, seconds: number): Promise<string[]> {
  const args = [await part('h2load'), '-t1', `-c${shape.connections}`, `-m${shape.streams ?? 1}`, `-D${seconds}`]
  if (shape.postBytes !== undefined) args.push('-d', temporaryFile('body', 'x'.repeat(shape.postBytes)))
  if (shape.grpc === true) {
    args.push('-d', temporaryFile('message', GRPC_MESSAGE))
    args.push('-H', 'content-type: application/grpc', '-H', 'te: trailers')
  }
  return args
}

/** Requests that run when the time is up are no failures. */
function readH2load(output: string): { requests: number; failed: string } {
  const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output)
  const bad = counts === null || /[1-9]/.test(counts.slice(2).join('')) || / [1-9]\d* 5xx/.test(output)
  return { requests: Number(counts?.[1] ?? 0), failed: bad ? (counts?.[0] ?? output) : '' }
}

/** Drives one proxy for some seconds. Throws when requests failed: a proxy that refuses fast is not a fast one. */
export async function drive(
  proxy: BenchProxy,
  shape: LoadShape,
  seconds: number,
  cores = LOAD_CORE,
): Promise<LoadResult> {
  const command = await (shape.port === 'http2' ? h2load : wrk)(shape, seconds)
  const url = `${shape.port === 'tls' ? 'https' : 'http'}://127.0.0.1:${proxy.ports[shape.port]}${shape.path}`
  let rssMb = 0
  const sampler = setInterval(() => {
    rssMb = Math.max(rssMb, proxy.rssMb())
  }, 200)
  const before = proxy.cpuUs()
  let output: string
  try {
    output = (await run('taskset', ['-c', cores, ...command, url], { deadlineMs: (seconds + 30) * 1000 })).stdout
  } finally {
    clearInterval(sampler)
  }
  const cpuUs = proxy.cpuUs() - before
  const { requests, failed } = shape.port === 'http2' ? readH2load(output) : readWrk(output)
  if (failed !== '' || requests === 0) throw new Error(`${proxy.name}: ${failed || 'no request'} of ${requests}`)
  return {
    requests,
    cpuUsPerRequest: cpuUs / (requests * (shape.messages ?? 1)),
    requestsPerSecond: requests / seconds,
    rssMb,
  }
}
