/** Load by wrk from the other core, and what the proxy spent on it. */
import { part } from '../../kit/parts.ts'
import { run } from '../../kit/process.ts'
import { temporaryFile } from '../../kit/proxy-process.ts'
import { type BenchProxy, LOAD_CORE } from './proxy.ts'

export interface LoadShape {
  readonly port: 'plain' | 'routes' | 'traced' | 'inbound' | 'tls'
  readonly path: string
  readonly connections: number
  readonly postBytes?: number
  readonly closeEach?: boolean
}

export interface LoadResult {
  readonly requests: number
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

/** Drives one proxy for some seconds. Throws when requests failed: a proxy that refuses fast is not a fast one. */
export async function drive(proxy: BenchProxy, shape: LoadShape, seconds: number): Promise<LoadResult> {
  const wrk = await part('wrk')
  const args = ['-c', LOAD_CORE, wrk, '-t1', `-c${shape.connections}`, `-d${seconds}s`, '--timeout', '10s']
  if (shape.postBytes !== undefined) args.push('-s', postScript(shape.postBytes))
  if (shape.closeEach === true) args.push('-H', 'Connection: close')
  args.push(`${shape.port === 'tls' ? 'https' : 'http'}://127.0.0.1:${proxy.ports[shape.port]}${shape.path}`)
  let rssMb = 0
  const sampler = setInterval(() => {
    rssMb = Math.max(rssMb, proxy.rssMb())
  }, 200)
  const before = proxy.cpuUs()
  let output: string
  try {
    output = (await run('taskset', args, { deadlineMs: (seconds + 30) * 1000 })).stdout
  } finally {
    clearInterval(sampler)
  }
  const cpuUs = proxy.cpuUs() - before
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0)
  const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: .*/.exec(output)
  if (failed !== null || requests === 0) throw new Error(`${proxy.name}: ${failed?.[0] ?? 'no request'} of ${requests}`)
  return {
    requests,
    cpuUsPerRequest: cpuUs / requests,
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1] ?? 0),
    rssMb,
  }
}
