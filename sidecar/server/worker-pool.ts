/**
 * The worker threads of `--concurrency N`, as the control side sees them: started, told what to do, and replaced when one
 * dies. Each has a data plane of its own; they share their ports (`SO_REUSEPORT`), so the kernel spreads connections.
 *
 * A worker dies of an error that nobody caught, or because its heap is full. Its connections end with it, and the accept
 * queue of its sockets; the others go on, what it held of limits is given back, and another takes its place, later each
 * time when it keeps dying.
 */
import { join } from 'node:path'
import v8 from 'node:v8'
import { Worker } from 'node:worker_threads'
import { sharedClock } from '../base/clock.ts'
import { packageRoot } from '../base/package-root.ts'
import { SharedBuckets, sharedBucketMemory } from '../base/shared-buckets.ts'
import { giveBackShare } from '../base/shared-count.ts'
import { WORKER_ROLE } from '../base/worker-role.ts'
import type { ClusterManager } from '../cluster/cluster-manager.ts'
import type { ClusterView } from '../cluster/cluster-view.ts'
import type { Bootstrap } from '../config/schema/generated/types.ts'
import type { FailureLog } from '../failure-origin/failure-log.ts'
import { ledgerRing } from '../failure-origin/ledger-ring.ts'
import { logger, processLog } from '../observability/logging.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { TapQuery, TapSink } from '../observability/tap.ts'
import type { ConditionState, ListenerChoice } from './condition.ts'
import type { BoundAddresses } from './listeners.ts'
import type { ServerOptions } from './options.ts'
import type { FromWorker, ToWorker, WorkerCall, WorkerCalls, WorkerStart } from './worker-messages.ts'
import { WorkerStatsSum } from './worker-stats.ts'

const log = logger('main')

/** A worker that does not answer a question for a page by then is busy; what it said last is shown. */
const PAGE_TIMEOUT_MS = 1000
/** A worker that has not ended its own work by then is ended. */
const CLOSE_TIMEOUT_MS = 3000
/** Wait before a worker that died young is replaced: doubled each time, from the first to the last. */
const FIRST_BACK_OFF_MS = 100
const LAST_BACK_OFF_MS = 10_000
/** Who has lived this long did not die of its start. */
const GROWN_UP_MS = 10_000

export interface WorkerPoolParts {
  readonly options: ServerOptions
  readonly serviceName: string
  /** The configuration in service: what a worker starts with. */
  readonly bootstrap: () => Bootstrap
  readonly clusters: ClusterManager
  readonly condition: () => ConditionState
  readonly stats: StatsStore
  readonly failures: FailureLog
}

/** A place for a worker, and who has it now. */
interface Slot {
  readonly index: number
  worker: LiveWorker | undefined
  earlyDeaths: number
}

class WorkerDied extends Error {
  override name = 'WorkerDied'
}

export class WorkerPool {
  readonly #parts: WorkerPoolParts
  readonly #slots: Slot[]
  readonly #buckets: SharedArrayBuffer
  readonly #rings: readonly SharedArrayBuffer[]
  readonly #sum: WorkerStatsSum
  readonly #deaths
  #bound: BoundAddresses = new Map()
  readonly #runtime = new Map<string, string>()
  readonly #changed = new Set<string>()
  readonly #taps = new Map<number, { readonly query: TapQuery; readonly sink: TapSink }>()
  #lastTap = 0
  /** Reloads and replacements one after the other: a worker starts with one configuration and no other comes meanwhile. */
  #turn: Promise<unknown> = Promise.resolve()
  #closing = false

  constructor(parts: WorkerPoolParts) {
    this.#parts = parts
    this.#slots = Array.from({ length: parts.options.concurrency }, (_, index) => ({
      index,
      worker: undefined,
      earlyDeaths: 0,
    }))
    this.#buckets = sharedBucketMemory(parts.options.concurrency)
    this.#rings = this.#slots.map(() => ledgerRing(parts.options.concurrency))
    this.#sum = new WorkerStatsSum(parts.options.concurrency)
    this.#deaths = parts.stats.labelled(
      'hopwise_worker_deaths_total',
      ['worker', 'reason'],
      'Worker threads that ended although nobody had asked them to',
    )
    for (const { index } of this.#slots) this.#deaths.counter(String(index), 'error')
  }

  /** Where the workers listen, by listener. */
  get bound(): BoundAddresses {
    return this.#bound
  }

  /** Connections of all workers, as they said last. */
  get connectionCount(): number {
    return this.#sum.connections
  }

  get heapBytes(): number {
    return this.#sum.heapBytes
  }

  /** Starts all workers. What is wrong, in lines for people; then none runs. */
  async start(): Promise<readonly string[]> {
    // The first one alone: the others bind the ports that the system has chosen for it.
    const [first, ...others] = this.#slots
    const startOne = async (slot: Slot) => (await this.#start(slot)).problems
    const results = [await startOne(first!)]
    if (results[0]!.length === 0) results.push(...(await Promise.all(others.map(startOne))))
    const problems = results.find(one => one.length > 0) ?? []
    if (problems.length > 0) await this.close()
    return problems
  }

  /** Nobody else changes the workers while `work` runs: between {@link stage} and {@link commit}, above all. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work)
    this.#turn = run.catch(() => {})
    return run
  }

  /** Has all workers build and bind a configuration. What is wrong, in lines for people; call {@link abort} then. */
  async stage(bootstrap: Bootstrap): Promise<readonly string[]> {
    const published = this.#parts.clusters.publish()
    let bound = this.#bound
    const stageOne = async (worker: LiveWorker): Promise<readonly string[]> => {
      try {
        const answer = await worker.call('stage', { bootstrap, published, bound })
        bound = answer.bound
        return answer.problems
      } catch (error) {
        // Its place is taken by one with the configuration that is in service by then.
        if (error instanceof WorkerDied) return []
        return [String((error as Error).message)]
      }
    }
    const [first, ...others] = this.#live
    if (first === undefined) return ['no worker is running']
    // A port that the system shall choose is chosen anew where its listener has changed.
    bound = new Map([...bound].filter(([name]) => !this.#choosesPort(bootstrap, name)))
    let problems = await stageOne(first)
    if (problems.length > 0) return problems
    for (const found of await Promise.all(others.map(stageOne))) if (problems.length === 0) problems = found
    if (problems.length === 0) this.#bound = bound
    return problems
  }

  /** All workers put what was staged into service; resolves when they have. */
  async commit(): Promise<void> {
    await Promise.all(this.#live.map(worker => worker.call('commit', undefined).catch(ignoreDeath)))
  }

  async abort(): Promise<void> {
    const published = this.#parts.clusters.publish()
    await Promise.all(this.#live.map(worker => worker.call('abort', published).catch(ignoreDeath)))
  }

  /** Hosts of a cluster, or their health, have changed. Told to the workers once per turn of the event loop. */
  publish(clusterName: string): void {
    if (this.#changed.size === 0) setImmediate(() => this.#publishChanged())
    this.#changed.add(clusterName)
  }

  setCondition(): void {
    this.#broadcast({ type: 'condition', state: this.#parts.condition() })
  }

  stopAccepting(which: ListenerChoice): void {
    this.#broadcast({ type: 'stop-accepting', which })
  }

  /** Resolves when none of the connections is left. */
  async drainListeners(which: ListenerChoice, closeIdle: boolean): Promise<void> {
    await Promise.all(this.#live.map(worker => worker.call('drain', { which, closeIdle }).catch(ignoreDeath)))
  }

  modifyRuntime(values: ReadonlyMap<string, string>): void {
    for (const [key, value] of values) this.#runtime.set(key, value)
    this.#broadcast({ type: 'runtime', values })
  }

  setLogLevel(...[component, level]: Parameters<typeof processLog.set>): void {
    this.#broadcast({ type: 'log-level', component, level })
  }

  resetCounters(): void {
    this.#sum.resetCounters()
    this.#broadcast({ type: 'reset-counters' })
  }

  reopenLogs(): void {
    this.#broadcast({ type: 'reopen-logs' })
  }

  /** Tells `sink` of requests in all workers, also in those that come later; the result stops it. */
  tap(query: TapQuery, sink: TapSink): () => void {
    const id = ++this.#lastTap
    // Each has its share: what they see of a second's requests is about the same.
    const shared = { ...query, maxRps: Math.ceil(query.maxRps / this.#slots.length) }
    this.#taps.set(id, { query: shared, sink })
    this.#broadcast({ type: 'tap', tap: id, query: shared })
    return () => {
      this.#taps.delete(id)
      this.#broadcast({ type: 'untap', tap: id })
    }
  }

  /** The stats of all threads, added up. */
  async stats(): Promise<StatsStore> {
    await Promise.all(
      this.#slots.map(async ({ index, worker }) => {
        const answer = await worker?.ask('stats')
        if (answer !== undefined) this.#sum.note(index, answer)
      }),
    )
    this.#parts.clusters.refreshGauges()
    return this.#sum.store(this.#parts.stats.snapshot())
  }

  /** Clusters with the hosts as each worker has them; those that do not answer are left out. */
  async clusterViews(): Promise<readonly (readonly ClusterView[])[]> {
    const answers = await Promise.all(this.#live.map(worker => worker.ask('clusters')))
    return answers.filter(answer => answer !== undefined)
  }

  async close(): Promise<void> {
    this.#closing = true
    await Promise.all(this.#live.map(worker => worker.close()))
  }

  get #live(): LiveWorker[] {
    return this.#slots.map(({ worker }) => worker).filter(worker => worker !== undefined)
  }

  #choosesPort(bootstrap: Bootstrap, name: string): boolean {
    const message = bootstrap.staticResources?.listeners.find(one => one.name === name)
    const addresses = [message?.address, ...(message?.additionalAddresses ?? []).map(({ address }) => address)]
    return addresses.some(
      address => address?.socketAddress !== undefined && (address.socketAddress.portValue ?? 0) === 0,
    )
  }

  #publishChanged(): void {
    const { clusters } = this.#parts
    const changed = new Map(
      [...this.#changed].flatMap(name => {
        const cluster = clusters.get(name)
        return cluster === undefined ? [] : [[name, cluster.publish()] as const]
      }),
    )
    this.#changed.clear()
    if (changed.size > 0) this.#broadcast({ type: 'published', clusters: changed })
  }

  #broadcast(message: ToWorker): void {
    for (const worker of this.#live) worker.post(message)
  }

  /** Starts a worker in its place; what is wrong, in lines for people, has ended it again. */
  async #start(slot: Slot): Promise<{ readonly problems: readonly string[]; readonly worker: LiveWorker }> {
    const { options, serviceName, bootstrap, clusters, condition } = this.#parts
    const start: WorkerStart = {
      role: WORKER_ROLE,
      index: slot.index,
      options,
      serviceName,
      bootstrap: bootstrap(),
      published: clusters.publish(),
      bound: this.#bound,
      buckets: this.#buckets,
      rings: this.#rings,
      runtime: this.#runtime,
      logLevels: [...processLog.levels()],
      condition: condition(),
      taps: new Map([...this.#taps].map(([id, { query }]) => [id, query])),
    }
    const worker = new LiveWorker(start, message => this.#receive(slot, message))
    slot.worker = worker
    void worker.ended.then(end => this.#onEnd(slot, worker, end))
    const { problems, bound } = await worker.started
    if (problems.length === 0) this.#bound = bound
    return { problems, worker }
  }

  #receive(slot: Slot, message: FromWorker): void {
    const { clusters, failures } = this.#parts
    switch (message.type) {
      case 'stats':
        this.#sum.note(slot.index, message.stats)
        break
      case 'row': {
        const cluster = clusters.get(message.cluster)
        const host = cluster?.hosts.find(({ identity }) => identity === message.host)
        if (host !== undefined) cluster!.outlier.onReportedRow(host, message.ejection)
        break
      }
      case 'tapped': {
        const sink = this.#taps.get(message.tap)?.sink
        if (sink === undefined) break
        for (const event of message.events) sink.event(event)
        for (const [requests, why] of message.lost) sink.lost(requests, why)
        break
      }
      case 'lagging':
        this.#slots[message.worker]?.worker?.post({ type: 'read-ledger' })
        break
      case 'failure':
        failures.add({ ...message.entry, seq: failures.nextSeq() })
        break
    }
  }

  #onEnd(slot: Slot, worker: LiveWorker, { error, code }: WorkerEnd): void {
    slot.worker = undefined
    this.#sum.forget(slot.index)
    for (const { breakers, hosts } of this.#parts.clusters.publish().values()) {
      giveBackShare(breakers, slot.index)
      for (const { connectionMemory } of hosts) {
        if (connectionMemory !== undefined) giveBackShare(connectionMemory, slot.index)
      }
    }
    SharedBuckets.giveBack(this.#buckets, slot.index)
    if (this.#closing || worker.asked) return
    this.#broadcast({ type: 'worker-gone', worker: slot.index, atMs: sharedClock.now() })
    const reason =
      (error as NodeJS.ErrnoException | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'error'
    this.#deaths.counter(String(slot.index), reason).inc()
    if (performance.now() - worker.startedMs >= GROWN_UP_MS) slot.earlyDeaths = 0
    const waitMs = this.#replaceLater(slot)
    log.error(
      { worker: slot.index, reason, code, replacedInMs: waitMs, ...(error !== undefined && { error }) },
      'a worker has died: its connections are lost, the others go on',
    )
  }

  /** At once after a long life, later each time after short ones; gives the wait in milliseconds. */
  #replaceLater(slot: Slot): number {
    const waitMs =
      slot.earlyDeaths === 0 ? 0 : Math.min(LAST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (slot.earlyDeaths - 1))
    slot.earlyDeaths++
    setTimeout(() => void this.exclusive(() => this.#replace(slot)), waitMs)
    return waitMs
  }

  async #replace(slot: Slot): Promise<void> {
    if (this.#closing) return
    const { problems, worker } = await this.#start(slot)
    if (problems.length === 0) {
      log.info({ worker: slot.index }, 'the worker has been replaced')
      return
    }
    log.error({ worker: slot.index, problems: problems.join('; ') }, 'the worker could not be replaced')
    // One that died as it started has been seen to already.
    if (worker.asked && !this.#closing) this.#replaceLater(slot)
  }
}

interface WorkerEnd {
  readonly error: Error | undefined
  readonly code: number
}

/** One worker thread, from its start to its end. */
class LiveWorker {
  readonly startedMs = performance.now()
  readonly started: Promise<{ readonly problems: readonly string[]; readonly bound: BoundAddresses }>
  readonly ended: Promise<WorkerEnd>
  /** Its end was asked for. */
  asked = false
  readonly #worker: Worker
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>()
  #lastCall = 0

  constructor(start: WorkerStart, receive: (message: FromWorker) => void) {
    const limitMb = Math.floor(v8.getHeapStatistics().heap_size_limit / 2 ** 20)
    const worker = new Worker(join(packageRoot, 'sidecar', 'bin', 'start.mjs'), {
      workerData: start,
      // Without a limit of its own a full heap would end the process and not the worker.
      resourceLimits: { maxOldGenerationSizeMb: limitMb },
      name: `hopwise worker ${start.index}`,
    })
    this.#worker = worker
    const started = Promise.withResolvers<Awaited<LiveWorker['started']>>()
    this.started = started.promise
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'answer') this.#onAnswer(message)
      else if (message.type === 'started') {
        if (message.problems.length > 0) void this.close()
        started.resolve(message)
      } else receive(message)
    })
    let failure: Error | undefined
    worker.on('error', error => {
      failure = error as Error
    })
    this.ended = new Promise(resolve => {
      worker.on('exit', code => {
        started.resolve({ problems: [failure?.message ?? 'the worker ended as it started'], bound: start.bound })
        for (const call of this.#calls.values()) call.reject(new WorkerDied())
        this.#calls.clear()
        resolve({ error: failure, code })
      })
    })
  }

  post(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  /** Rejects with {@link WorkerDied} where no answer can come any more. */
  call<C extends WorkerCall>(call: C, given: WorkerCalls[C]['given']): Promise<WorkerCalls[C]['answer']> {
    const id = ++this.#lastCall
    const answer = Promise.withResolvers<unknown>()
    this.#calls.set(id, answer)
    this.post({ type: 'call', id, call, given })
    return answer.promise as Promise<WorkerCalls[C]['answer']>
  }

  /** The answer for a page: undefined where it does not come in time. */
  ask<C extends 'stats' | 'clusters'>(call: C): Promise<WorkerCalls[C]['answer'] | undefined> {
    return Promise.race([this.call(call, undefined).catch(() => undefined), later(PAGE_TIMEOUT_MS)])
  }

  async close(): Promise<void> {
    if (this.asked) {
      await this.ended
      return
    }
    this.asked = true
    await Promise.race([this.call('close', undefined).catch(ignoreDeath), later(CLOSE_TIMEOUT_MS)])
    await this.#worker.terminate()
  }

  #onAnswer({ id, value, error }: Extract<FromWorker, { type: 'answer' }>): void {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(new Error(error))
  }
}

function ignoreDeath(error: unknown): undefined {
  if (!(error instanceof WorkerDied)) throw error
  return undefined
}

function later(ms: number): Promise<undefined> {
  return new Promise(resolve => setTimeout(resolve, ms, undefined).unref())
}
