/**
 * `npm run bench`: Hopwise and Envoy side by side, CPU per request and memory.
 *
 *   npm run bench                 the table, some four minutes
 *   npm run bench -- --quick      one minute, for a first impression
 *   npm run bench -- --readme     writes the table into README.md
 *   npm run bench -- --only GET   workloads whose name contains the text; no memory
 *   npm run bench -- --workers    two worker threads against one
 *   npm run bench -- --micro      the small ones in this folder, each a question of its own
 *
 * Each proxy is pinned to the first core, one at a time under load; wrk, the upstream and the collector stub run on the
 * second. Rounds alternate (Envoy, ours, Envoy, ours …) so that both meet the same weather; what counts is the median of
 * the rounds' ratios. CPU time is the whole process's, from `/proc/PID/stat`: garbage collection and compilation included.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePorts } from '../kit/free-port.ts'
import { repository } from '../kit/install-once.ts'
import { TestProcess } from '../kit/process.ts'
import type { UpstreamPorts } from './side-by-side/configuration.ts'
import { drive, type LoadResult } from './side-by-side/load.ts'
import { kilobytesPerConnection, kilobytesPerStream, rssWithIdleConnections } from './side-by-side/memory.ts'
import { ALL_CORES, BenchProxy, LOAD_CORE } from './side-by-side/proxy.ts'
import { machineFacts, markdownTable, median, type Row, withBenchmarks } from './side-by-side/table.ts'
import { benchWorkers } from './side-by-side/workers.ts'
import {
  AFTER_NAME,
  HTTP2_CONNECTION_NAME,
  HTTP2_STREAM_NAME,
  IDLE_CONNECTIONS_NAME,
  IDLE_NAME,
  LEDGER_NAME,
  LEDGER_TARGET_US,
  LOAD_NAME,
  READY_NAME,
  READY_TARGET_MS,
  RSS_TARGET,
  WORKER_SHARE_NAME,
  WORKER_SHARE_TARGET_PERCENT,
  WORKER_WORKLOADS,
  WORKLOADS,
  type Workload,
} from './side-by-side/workloads.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    readme: { type: 'boolean', default: false },
    micro: { type: 'boolean', default: false },
    workers: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
})

const rounds = Number(options.rounds ?? (options.quick ? 3 : 8))
const seconds = Number(options.seconds ?? 1)
/** Until both have compiled what they will compile: it is a proxy's second minute that counts, not its first. */
const WARM_UP_REQUESTS = 120_000
const MAX_WARM_UPS = 8
const STARTS = 5
/** Of three seconds each, with and without. */
const LEDGER_ROUNDS = 4

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function micro(): void {
  for (const file of globSync('test/bench/*.bench.ts', { cwd: repository }).sort()) {
    process.stdout.write(`\n${file}\n`)
    const done = spawnSync(process.execPath, [join(repository, file)], { cwd: repository, stdio: 'inherit' })
    if (done.status !== 0) process.exitCode = 1
  }
}

function ratioRow(name: string, envoy: number[], ours: number[], unit: string, target: number | undefined): Row {
  const ratio = median(ours.map((value, i) => value / envoy[i]!))
  const usual = median(envoy)
  const digits = unit !== 'µs' || usual >= 1000 ? 0 : usual >= 10 ? 1 : 2
  return {
    workload: name,
    envoy: `${median(envoy).toFixed(digits)} ${unit}`,
    ours: `${median(ours).toFixed(digits)} ${unit}`,
    ratio: ratio.toFixed(2),
    target: target === undefined ? '' : `≤ ${target}`,
    met: target === undefined ? undefined : Number(ratio.toFixed(2)) <= target,
  }
}

async function warmUp(proxy: BenchProxy, cores?: string): Promise<void> {
  let requests = 0
  for (let i = 0; i < MAX_WARM_UPS && requests < WARM_UP_REQUESTS; i++) {
    requests += (await drive(proxy, WORKLOADS[0]!.shape, 2, cores)).requests
  }
  // HTTP/2 is other code, and in each worker once more.
  for (const { shape } of WORKLOADS) if (shape.port === 'http2') await drive(proxy, shape, 2, cores)
}

interface Upstreams {
  readonly ports: UpstreamPorts
  stop(): Promise<void>
}

async function startUpstreams(cores: string): Promise<Upstreams> {
  const [http1, http2] = await freePorts(2)
  const ports: UpstreamPorts = { http1: http1!, http2: http2! }
  const servers: TestProcess[] = []
  for (const [file, port] of [
    ['upstream.ts', ports.http1],
    ['upstream-http2.ts', ports.http2],
  ] as const) {
    const command = ['-c', cores, process.execPath, join(import.meta.dirname, 'side-by-side', file), String(port)]
    const server = TestProcess.start('taskset', command, { name: file })
    await server.waitForPort(port)
    servers.push(server)
  }
  return {
    ports,
    async stop() {
      for (const server of servers) await server.stop('SIGKILL')
    },
  }
}

async function workerRows(): Promise<Row[]> {
  const upstreams = await startUpstreams(ALL_CORES)
  const costs = await benchWorkers(upstreams.ports, { rounds, seconds, warmUp })
  await upstreams.stop()
  const rows = costs.map(({ name, alone, together, ratio }, i): Row => {
    const target = WORKER_WORKLOADS[i]!.target!
    say(`one worker: ${alone.toFixed(1)} µs`)
    return {
      workload: name,
      envoy: '',
      ours: `${together.toFixed(1)} µs`,
      ratio: ratio.toFixed(2),
      target: `≤ ${target}`,
      met: Number(ratio.toFixed(2)) <= target,
    }
  })
  const busier = Math.round(costs[0]!.busierPercent)
  rows.push({
    workload: WORKER_SHARE_NAME,
    envoy: '',
    ours: `${busier} %`,
    ratio: '',
    target: `≤ ${WORKER_SHARE_TARGET_PERCENT} %`,
    met: busier <= WORKER_SHARE_TARGET_PERCENT,
  })
  return rows
}

/** One measurement of each proxy in turn, `rounds` times, after a second that does not count. */
async function alternate(
  proxies: readonly BenchProxy[],
  { shape, longer = 1 }: Workload,
): Promise<readonly LoadResult[][]> {
  for (const proxy of proxies) await drive(proxy, shape, 1)
  const results: LoadResult[][] = proxies.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, proxy] of proxies.entries()) results[i]!.push(await drive(proxy, shape, seconds * longer))
  }
  return results
}

/**
 * What failure location adds to a request: one microsecond cannot be seen beside system calls, so this is measured on the
 * data path alone (data-path.bench.ts), in processes with and without it by turns; the quickest run of each counts.
 */
function ledgerCostUs(): number {
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  const without = [`--import=${join(import.meta.dirname, 'side-by-side', 'without-ledger.ts')}`]
  for (let round = 0; round < Math.min(rounds, LEDGER_ROUNDS); round++) {
    for (const [i, flags] of [[], without].entries()) {
      const script = join(import.meta.dirname, 'data-path.bench.ts')
      const { stdout } = spawnSync(process.execPath, [...flags, script], { encoding: 'utf8' })
      best[i] = Math.min(best[i]!, Number(/([\d.]+) µs a request/.exec(stdout)?.[1] ?? Number.NaN))
    }
  }
  return best[0]! - best[1]!
}

/** In processes of their own, for what they leave behind would be counted under load. */
async function http2Memory(upstreams: UpstreamPorts): Promise<Row[]> {
  const rows: Row[] = []
  for (const [name, measure] of [
    [HTTP2_CONNECTION_NAME, kilobytesPerConnection],
    [HTTP2_STREAM_NAME, kilobytesPerStream],
  ] as const) {
    const each: number[] = []
    for (const which of ['envoy', 'hopwise'] as const) {
      const proxy = await BenchProxy.start(which, upstreams)
      each.push(await measure(proxy))
      await proxy.stop()
    }
    rows.push(ratioRow(name, [each[0]!], [each[1]!], 'KB', undefined))
  }
  return rows
}

async function sideBySide(): Promise<void> {
  if (cpus().length < 2) throw new Error('two cores are needed: one for the proxy, one for the load')
  // The upstream and wrk inherit the core.
  spawnSync('taskset', ['-cp', LOAD_CORE, String(process.pid)])
  const servers = await startUpstreams(LOAD_CORE)
  const upstreams = servers.ports
  // As after an installation: bundled, and what a start compiles is kept.
  spawnSync(process.execPath, [join(repository, 'sidecar', 'bin', 'build-bundle.mjs')], { stdio: 'inherit' })
  await (await BenchProxy.start('hopwise', upstreams)).stop()
  if (options.workers) {
    await servers.stop()
    process.stdout.write(`${markdownTable(await workerRows())}\n`)
    return
  }
  const envoy = await BenchProxy.start('envoy', upstreams)
  const ours = await BenchProxy.start('hopwise', upstreams)
  const both = [envoy, ours]
  const rows: Row[] = []
  const add = (row: Row) => {
    rows.push(row)
    say(`${row.workload}: ${row.envoy} ${row.ours} ${row.ratio}`)
  }
  await pause(2000)
  const idle = both.map(proxy => proxy.rssMb())
  const wanted = WORKLOADS.filter(({ name }) => name.includes(options.only))
  let loadRss: number[][] | undefined
  const memory: Row[] = []
  if (options.only === '') {
    memory.push(ratioRow(IDLE_NAME, [idle[0]!], [idle[1]!], 'MB', RSS_TARGET))
    const many: number[] = []
    for (const proxy of both) many.push(await rssWithIdleConnections(proxy))
    memory.push(ratioRow(IDLE_CONNECTIONS_NAME, [many[0]!], [many[1]!], 'MB', RSS_TARGET))
    memory.push(...(await http2Memory(upstreams)))
  }
  for (const proxy of both) await warmUp(proxy)
  for (const workload of wanted) {
    const { name, target } = workload
    const results = await alternate(both, workload)
    const [theirs, own] = results.map(series => series.map(one => one.cpuUsPerRequest))
    loadRss ??= results.map(series => series.map(one => one.rssMb))
    add(ratioRow(name, theirs!, own!, 'µs', target))
  }
  if (options.only === '') for (const row of await workerRows()) add(row)
  if (options.only === '' || LEDGER_NAME.includes(options.only)) {
    const cost = ledgerCostUs()
    add({
      workload: LEDGER_NAME,
      envoy: '',
      // Below that it is noise, on either side of nothing.
      ours: cost < 0.05 ? '< 0.1 µs' : `${cost.toFixed(1)} µs`,
      ratio: '',
      target: `≤ ${LEDGER_TARGET_US.toFixed(1)} µs`,
      met: Number(cost.toFixed(1)) <= LEDGER_TARGET_US,
    })
  }
  if (options.only === '') {
    for (const row of memory) add(row)
    add(ratioRow(LOAD_NAME, loadRss![0]!, loadRss![1]!, 'MB', RSS_TARGET))
    await pause(3000)
    add(ratioRow(AFTER_NAME, [envoy.rssMb()], [ours.rssMb()], 'MB', undefined))
    const ready: number[][] = [[], []]
    for (let i = 0; i < STARTS; i++) {
      for (const [at, name] of (['envoy', 'hopwise'] as const).entries()) {
        const started = await BenchProxy.start(name, upstreams)
        ready[at]!.push(started.readyMs)
        await started.stop()
      }
    }
    // A start is short, and whatever else runs on the machine only adds to it.
    const [theirs, own] = ready.map(times => Math.min(...times)) as [number, number]
    const row = ratioRow(READY_NAME, [theirs], [own], 'ms', undefined)
    add({ ...row, target: `≤ ${READY_TARGET_MS} ms`, met: own <= READY_TARGET_MS })
  }
  for (const one of [envoy, ours]) await one.stop()
  await servers.stop()

  const how = `${rounds} rounds of ${seconds} s (longer where handshakes must not count), medians (starts: the quickest of ${STARTS}, waiting for the core left out); CPU per request of the proxy process on one core`
  const content = `${markdownTable(rows)}\n\n${machineFacts(how)}`
  process.stdout.write(`${content}\n`)
  if (!options.readme) return
  if (options.only !== '') throw new Error('--readme wants the whole table')
  const readme = join(repository, 'README.md')
  writeFileSync(readme, withBenchmarks(existsSync(readme) ? readFileSync(readme, 'utf8') : '', content))
}

if (options.micro) micro()
else await sideBySide()
