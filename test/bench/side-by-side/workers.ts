/**
 * What do worker threads cost? CPU per request of two workers against one thread, and how even the load is spread.
 *
 *   npm run bench -- --workers        goal: at most 1.1 times as much, each worker 40 to 60 % of 64 connections
 *
 * Both proxies on the same core, by turns; what counts is the median of the rounds' ratios.
 */

import type { UpstreamPorts } from './configuration.ts'
import { drive } from './load.ts'
import { BenchProxy } from './proxy.ts'
import { median } from './table.ts'
import { WORKLOADS } from './workloads.ts'

export const WORKERS_TARGET = 1.1
const MEASURED = ['GET, 20 bytes, keep-alive', 'one connection per request', 'in and out again: two passes']

export async function benchWorkers(
  upstreams: UpstreamPorts,
  { rounds, seconds, warmUp }: { rounds: number; seconds: number; warmUp: (proxy: BenchProxy) => Promise<void> },
): Promise<void> {
  const start = (workers: number) => BenchProxy.start('hopwise', upstreams, {}, ['--concurrency', String(workers)])
  const [one, two] = [await start(1), await start(2)]
  process.stdout.write(`RSS, idle: ${one.rssMb().toFixed(0)} MB, two workers ${two.rssMb().toFixed(0)} MB\n`)
  for (const proxy of [one, two]) await warmUp(proxy)
  for (const { name, shape } of WORKLOADS.filter(workload => MEASURED.includes(workload.name))) {
    for (const proxy of [one, two]) await drive(proxy, shape, 1)
    const ratios: number[] = []
    const costs: number[][] = [[], []]
    const before = await acceptedBy(two, shape.port)
    for (let round = 0; round < rounds; round++) {
      const [a, b] = [await drive(one, shape, seconds), await drive(two, shape, seconds)]
      costs[0]!.push(a.cpuUsPerRequest)
      costs[1]!.push(b.cpuUsPerRequest)
      ratios.push(b.cpuUsPerRequest / a.cpuUsPerRequest)
    }
    const after = await acceptedBy(two, shape.port)
    const shares = after.map((count, i) => count - before[i]!)
    const spread = shares.map(share => `${((100 * share) / (shares[0]! + shares[1]!)).toFixed(0)} %`).join(' and ')
    const [alone, together] = costs.map(series => median(series).toFixed(1))
    const ratio = median(ratios)
    const verdict = ratio <= WORKERS_TARGET ? 'met' : 'missed'
    process.stdout.write(
      `${name}: ${alone} µs, two workers ${together} µs, ratio ${ratio.toFixed(2)} (≤ ${WORKERS_TARGET}: ${verdict}), connections ${spread}\n`,
    )
  }
  for (const proxy of [one, two]) await proxy.stop()
}

/** Connections that each of two workers has accepted on the listener. */
async function acceptedBy(proxy: BenchProxy, port: keyof BenchProxy['ports']): Promise<number[]> {
  const page = await proxy.proxy.admin(`/stats?filter=_${proxy.ports[port]}\\.worker_`)
  return [0, 1].map(worker => Number(new RegExp(`worker_${worker}\\.downstream_cx_total: (\\d+)`).exec(page)?.[1] ?? 0))
}
