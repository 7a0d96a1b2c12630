/**
 * What do worker threads cost? CPU per request of two workers against one thread, and how even the load is spread.
 *
 *   npm run bench -- --workers        goal: at most 1.1 times as much, each worker 40 to 60 % of 64 connections
 *
 * Two threads on one core would measure how they take turns on it, so here proxies, upstreams and load all have both cores;
 * the proxies by turns, and what counts is the median of the rounds' ratios.
 */
import type { UpstreamPorts } from './configuration.ts'
import { drive, type LoadShape } from './load.ts'
import { ALL_CORES, BenchProxy } from './proxy.ts'
import { median } from './table.ts'
import { WORKER_WORKLOADS } from './workloads.ts'

export interface WorkerCost {
  readonly name: string
  /** CPU per request, µs, medians. */
  readonly alone: number
  readonly together: number
  /** Median of the rounds' ratios. */
  readonly ratio: number
  /** Share of the busier worker in all connections, percent. */
  readonly busierPercent: number
}

export interface WorkersOptions {
  readonly rounds: number
  readonly seconds: number
  readonly warmUp: (proxy: BenchProxy, cores: string) => Promise<void>
}

/** `upstreams` have both cores. */
export async function benchWorkers(
  upstreams: UpstreamPorts,
  { rounds, seconds, warmUp }: WorkersOptions,
): Promise<WorkerCost[]> {
  const start = (workers: number) =>
    BenchProxy.start('hopwise', upstreams, {}, ['--concurrency', String(workers)], ALL_CORES)
  const [one, two] = [await start(1), await start(2)]
  const costs: WorkerCost[] = []
  for (const proxy of [one, two]) await warmUp(proxy, ALL_CORES)
  for (const { name, shape } of WORKER_WORKLOADS) {
    for (const proxy of [one, two]) await drive(proxy, shape, 1, ALL_CORES)
    const alone: number[] = []
    const together: number[] = []
    const before = await acceptedBy(two, shape)
    for (let round = 0; round < rounds; round++) {
      alone.push((await drive(one, shape, seconds, ALL_CORES)).cpuUsPerRequest)
      together.push((await drive(two, shape, seconds, ALL_CORES)).cpuUsPerRequest)
    }
    const after = await acceptedBy(two, shape)
    const shares = after.map((count, i) => count - before[i]!)
    costs.push({
      name,
      alone: median(alone),
      together: median(together),
      ratio: median(together.map((value, i) => value / alone[i]!)),
      busierPercent: (100 * Math.max(...shares)) / (shares[0]! + shares[1]!),
    })
  }
  for (const proxy of [one, two]) await proxy.stop()
  return costs
}

/** Connections that each of two workers has accepted on the listener. */
async function acceptedBy(proxy: BenchProxy, { port }: LoadShape): Promise<number[]> {
  const page = await proxy.proxy.admin(`/stats?filter=_${proxy.ports[port]}\\.worker_`)
  return [0, 1].map(worker => Number(new RegExp(`worker_${worker}\\.downstream_cx_total: (\\d+)`).exec(page)?.[1] ?? 0))
}
