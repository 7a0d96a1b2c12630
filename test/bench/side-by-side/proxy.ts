/** A proxy under measurement: pinned to one core, its CPU time and memory read from `/proc`. */
import { readFileSync } from 'node:fs'
import { envoyPath } from '../../kit/envoy.ts'
import { freePorts } from '../../kit/free-port.ts'
import { hopwisePath } from '../../kit/hopwise.ts'
import { TestProcess } from '../../kit/process.ts'
import { ProxyProcess, temporaryFile } from '../../kit/proxy-process.ts'
import { type BenchPorts, benchConfiguration, type UpstreamPorts } from './configuration.ts'

export const PROXY_CORE = '0'
export const LOAD_CORE = '1'
/** For what has more than one thread to measure: there proxy, upstream and load share what there is. */
export const ALL_CORES = '0,1'

/** The kernel counts CPU time in ticks; 100 a second on every Linux there is. */
const TICK_US = 10_000

export class BenchProxy {
  readonly name: string
  readonly ports: BenchPorts
  readonly proxy: ProxyProcess
  /**
   * From the start of the process to the first `200` of `/ready`, without the time its main thread was ready to run and
   * other processes had the core.
   */
  readonly readyMs: number

  private constructor(name: string, ports: BenchPorts, proxy: ProxyProcess, readyMs: number) {
    this.name = name
    this.ports = ports
    this.proxy = proxy
    this.readyMs = readyMs
  }

  static async start(
    name: 'envoy' | 'hopwise',
    upstreams: UpstreamPorts,
    env: Readonly<Record<string, string>> = {},
    args: readonly string[] = [],
    cores = PROXY_CORE,
  ): Promise<BenchProxy> {
    const [admin, plain, routes, traced, inbound, outbound, tls, http2] = await freePorts(8)
    const ports = { admin, plain, routes, traced, inbound, outbound, tls, http2 } as BenchPorts
    const file = temporaryFile('envoy.yaml', benchConfiguration(ports, upstreams))
    const command =
      name === 'envoy'
        ? [await envoyPath(), '-c', file, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error']
        : [hopwisePath, 'run', '-c', file, '-l', 'error', ...args]
    const began = performance.now()
    const process = TestProcess.start('taskset', ['-c', cores, ...command], { name, env })
    const proxy = new ProxyProcess(process, ports.admin, file)
    await proxy.waitReady()
    const readyMs = performance.now() - began
    return new BenchProxy(name, ports, proxy, readyMs - waitedMs(process.pid))
  }

  /** User and system time so far, all threads, in microseconds. */
  cpuUs(): number {
    const stat = readFileSync(`/proc/${this.proxy.process.pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * TICK_US
  }

  rssMb(): number {
    return statusKb(this.proxy.process.pid, 'VmRSS') / 1024
  }

  async stop(): Promise<void> {
    await this.proxy.process.stop('SIGKILL')
  }
}

/** How long the main thread has waited for a core (`/proc/PID/schedstat`: nanoseconds run, nanoseconds waited, slices). */
function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6
}

function statusKb(pid: number, field: string): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line?.[1] ?? 0)
}
