/** A worker thread: one data plane, told by the control side what to do (worker-messages.ts). */
import { type MessagePort, parentPort } from 'node:worker_threads'
import { sharedClock } from '../base/clock.ts'
import { systemRandom } from '../base/random.ts'
import { SharedBuckets } from '../base/shared-buckets.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { AnyListenerFilterFactory } from '../filter-chain/listener-filter.ts'
import type { LoadBalancingPolicy } from '../load-balancer/policy.ts'
import { isLogLevel, processLog } from '../observability/logging.ts'
import type { Counter } from '../observability/stats.ts'
import type { OtelSdkExporter } from '../observability/tracing/otel-sdk-exporter.ts'
import { DataPlane } from './data-plane.ts'
import { WorkerTaps } from './taps.ts'
import type {
  FromWorker,
  PublishedClusters,
  ToWorker,
  WorkerCalls,
  WorkerStart,
  WorkerStats,
} from './worker-messages.ts'

/** How often stats are handed to the control side unasked: what a worker counted later is lost when it is killed. */
const HOUSEKEEPING_MS = 1000

export interface WorkerParts {
  readonly filters: readonly AnyHttpFilterFactory[]
  readonly policies: readonly LoadBalancingPolicy[]
  readonly listenerFilters: readonly AnyListenerFilterFactory[]
  readonly spanReporter: OtelSdkExporter | undefined
}

/** Runs the data plane until the control side closes it. */
export class DataPlaneWorker {
  readonly #port: MessagePort
  readonly #plane: DataPlane
  readonly #housekeeping: NodeJS.Timeout
  readonly #spanReporter: OtelSdkExporter | undefined
  readonly #buckets: SharedBuckets
  readonly #bucketsOverflow: Counter
  #published: PublishedClusters
  readonly #taps: WorkerTaps

  constructor(start: WorkerStart, { filters, policies, listenerFilters, spanReporter }: WorkerParts) {
    this.#port = parentPort!
    this.#published = start.published
    this.#spanReporter = spanReporter
    const { index, options, serviceName, bootstrap } = start
    this.#buckets = new SharedBuckets(start.buckets, index)
    this.#plane = new DataPlane({
      options,
      bootstrap,
      serviceName,
      filters,
      policies,
      listenerFilters,
      spanReporter,
      clock: sharedClock,
      random: systemRandom,
      worker: {
        index,
        buckets: this.#buckets,
        ledger: { worker: index, rings: start.rings, onLag: worker => this.#send({ type: 'lagging', worker }) },
      },
      sharing: {
        side: 'worker',
        worker: index,
        published: name => this.#published.get(name),
        reportRow: (cluster, host, ejection) => this.#send({ type: 'row', cluster, host, ejection }),
      },
    })
    const { env, condition } = this.#plane
    this.#bucketsOverflow = env.stats
      .labelled(
        'hopwise_shared_buckets_overflow_total',
        ['worker'],
        'Token buckets that are one for each worker instead of one for all, because the shared table was full',
      )
      .counter(String(index))
    Object.assign(condition, start.condition)
    env.runtime.modify(start.runtime)
    for (const [component, level] of start.logLevels) processLog.set(component, level)
    this.#taps = new WorkerTaps(env.tap, message => this.#send(message))
    for (const [tap, query] of start.taps) this.#taps.open(tap, query)
    env.failures.log.follow(entry => this.#send({ type: 'failure', entry }))
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS)
    this.#port.on('message', (message: ToWorker) => this.#receive(message))
    process.on('uncaughtExceptionMonitor', () => this.#sendStats())
  }

  async start({ bootstrap, bound }: WorkerStart): Promise<void> {
    const { problems, bound: mine } = await this.#stage(bootstrap, bound)
    if (problems.length === 0) this.#plane.commit()
    this.#send({ type: 'started', problems, bound: mine })
  }

  #receive(message: ToWorker): void {
    const { env, condition } = this.#plane
    switch (message.type) {
      case 'call':
        void this.#answer(message)
        break
      case 'published':
        this.#onPublished(message.clusters)
        break
      case 'condition':
        Object.assign(condition, message.state)
        break
      case 'stop-accepting':
        this.#plane.stopAccepting(message.which)
        break
      case 'runtime':
        env.runtime.modify(message.values)
        break
      case 'log-level':
        if (isLogLevel(message.level)) processLog.set(message.component, message.level)
        break
      case 'reset-counters':
        env.stats.resetCounters()
        break
      case 'tap':
        this.#taps.open(message.tap, message.query)
        break
      case 'untap':
        this.#taps.close(message.tap)
        break
      case 'read-ledger':
        env.failures.readShared()
        break
      case 'worker-gone':
        env.failures.forgetWorker(message.worker, message.atMs)
        break
      case 'reopen-logs':
        processLog.reopen()
        env.accessLogs.reopen()
        break
    }
  }

  async #answer({ id, call, given }: Extract<ToWorker, { type: 'call' }>): Promise<void> {
    try {
      this.#send({ type: 'answer', id, value: await this.#do(call, given) })
    } catch (error) {
      this.#send({ type: 'answer', id, value: undefined, error: (error as Error).stack ?? String(error) })
    }
    if (call === 'close') this.#port.close()
  }

  async #do(call: keyof WorkerCalls, given: unknown): Promise<unknown> {
    const plane = this.#plane
    switch (call) {
      case 'stage': {
        const { bootstrap, published, bound } = given as WorkerCalls['stage']['given']
        this.#published = published
        return await this.#stage(bootstrap, bound)
      }
      case 'commit':
        plane.commit()
        return undefined
      case 'abort':
        this.#published = given as PublishedClusters
        plane.abort()
        return undefined
      case 'drain': {
        const { which, closeIdle } = given as WorkerCalls['drain']['given']
        return await plane.drainListeners(which, closeIdle)
      }
      case 'stats':
        return this.#stats()
      case 'clusters':
        return plane.env.clusters.view()
      case 'close':
        clearInterval(this.#housekeeping)
        await plane.close()
        await this.#spanReporter?.close()
        this.#sendStats()
        return undefined
    }
  }

  async #stage(...given: Parameters<DataPlane['stage']>): Promise<WorkerCalls['stage']['answer']> {
    let problems = await this.#plane.stage(...given)
    if (problems.length === 0) {
      const problem = await this.#plane.bind()
      if (problem !== '') problems = [problem]
    }
    return { problems, bound: this.#plane.bound }
  }

  #onPublished(clusters: PublishedClusters): void {
    this.#published = new Map([...this.#published, ...clusters])
    for (const [name, published] of clusters) this.#plane.env.clusters.get(name)?.adopt(published)
  }

  #keepHouse(): void {
    const { env } = this.#plane
    env.failures.sweep()
    env.stats.rotateHistograms()
    this.#bucketsOverflow.add(this.#buckets.overflowed)
    this.#buckets.overflowed = 0
    this.#sendStats()
  }

  #sendStats(): void {
    this.#send({ type: 'stats', stats: this.#stats() })
  }

  #stats(): WorkerStats {
    const { heapUsed, external } = process.memoryUsage()
    return {
      stats: this.#plane.env.stats.snapshot(),
      connections: this.#plane.listeners.connectionCount,
      heapBytes: heapUsed + external,
    }
  }

  #send(message: FromWorker): void {
    this.#port.postMessage(message)
  }
}
