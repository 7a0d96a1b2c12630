/** A cluster manager with the parts that tests replace, and requests sent through it as a router would. */
import { systemClock } from '../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { type Timers, TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import type { LoadBalancerContext, Priority } from '../../../sidecar/cluster/cluster.ts'
import { ClusterManager, type ClusterManagerOptions } from '../../../sidecar/cluster/cluster-manager.ts'
import type { RunningCluster } from '../../../sidecar/cluster/running-cluster.ts'
import { type HeaderMap, RequestHeaders, type ResponseHeaders } from '../../../sidecar/codec/header-map.ts'
import type { RequestEncoder, ResponseDecoder, StreamFailure } from '../../../sidecar/codec/stream.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import type { Cluster as ClusterMessage } from '../../../sidecar/config/schema/generated/types.ts'
import { leastRequest } from '../../../sidecar/load-balancer/least-request.ts'
import { random } from '../../../sidecar/load-balancer/random.ts'
import { roundRobin } from '../../../sidecar/load-balancer/round-robin.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import type { PendingStream, PoolCallbacks, UpstreamConnectionInfo } from '../../../sidecar/upstream/connection-pool.ts'
import type { Host } from '../../../sidecar/upstream/host.ts'
import { waitFor } from '../../kit/wait-for.ts'

export const POLICIES = [roundRobin, leastRequest, random]

/** Decodes a cluster written as a YAML flow mapping, `{name: c, …}`; `ports` are its endpoints on loopback. */
export function clusterMessage(yaml: string, ports: readonly number[] = []): ClusterMessage {
  const endpoints = `load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [${ports.map(endpoint)}]}]}`
  const text = ports.length > 0 ? yaml.trim().replace(/,?\s*\}$/, `, ${endpoints}}`) : yaml
  const { value, errors } = decodeResource('envoy.config.cluster.v3.Cluster', text, { source: 'test' })
  if (value === undefined) throw new Error(errors.map(error => `${error.path}: ${error.message}`).join('\n'))
  return value
}

function endpoint(port: number): string {
  return `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}`
}

export class ManagerFixture {
  readonly stats = new StatsStore()
  readonly timers: Timers
  readonly manager: ClusterManager

  constructor(options: Partial<ClusterManagerOptions> = {}) {
    this.timers = options.timers ?? new TimerWheel(systemClock)
    this.manager = new ClusterManager({
      clock: systemClock,
      random: new SeededRandom(1),
      stats: this.stats,
      policies: POLICIES,
      ...options,
      timers: this.timers,
    })
  }

  /** Adds a cluster and gives it back. */
  cluster(yaml: string, ports: readonly number[] = []): RunningCluster {
    const message = clusterMessage(yaml, ports)
    this.manager.add(message)
    return this.manager.get(message.name)!
  }

  counter(name: string): number | undefined {
    return this.stats.counters.get(name)?.stat.value
  }

  gauge(name: string): number | undefined {
    return this.stats.gauges.get(name)?.stat.value
  }

  [Symbol.dispose](): void {
    this.manager.close()
  }
}

export const ANY_HOST: LoadBalancerContext = {
  headers: undefined,
  info: undefined,
  hash: undefined,
  metadataMatch: undefined,
  hostSelectionMaxAttempts: 1,
  shouldSelectAnotherHost: () => false,
}

/** One request to a cluster and all that came of it. */
export class Exchange implements PoolCallbacks, ResponseDecoder {
  /** What happened, in order: `100`, `200`, `data:…`, `end`, `trailers:…`, `reset:kind`, `failed:kind`, `above`. */
  readonly events: string[] = []
  encoder: RequestEncoder | undefined
  connection: UpstreamConnectionInfo | undefined
  host: Host | undefined
  pending: PendingStream | undefined
  failure: StreamFailure | undefined
  responseHeaders: ResponseHeaders | undefined
  body = ''
  /** Called when there is a connection, to write the request. */
  write: (encoder: RequestEncoder) => void
  /** Called with every event, right when it happens. */
  onEvent: (event: string) => void = () => {}

  constructor(write: (encoder: RequestEncoder) => void = writeGet) {
    this.write = write
  }

  /** Sends to a host the cluster chooses. */
  start(
    cluster: RunningCluster,
    options: { priority?: Priority; method?: string; upgrade?: boolean; fresh?: boolean } = {},
  ): this {
    const host = cluster.chooseHost(ANY_HOST)
    if (host === undefined) throw new Error('no host')
    const { priority = 0, method = 'GET', upgrade = false, fresh = false } = options
    this.pending = cluster.newStream(host, priority, { method, upgrade, fresh }, this, this)
    return this
  }

  get status(): number | undefined {
    return this.responseHeaders?.status
  }
  get done(): boolean {
    return this.events.some(event => event === 'end' || /^(trailers|reset|failed):/.test(event))
  }

  async finished(): Promise<this> {
    await waitFor(() => this.done, { what: `the end of ${JSON.stringify(this.events)}` })
    return this
  }

  onPoolReady(encoder: RequestEncoder, host: Host, connection: UpstreamConnectionInfo): void {
    this.encoder = encoder
    this.host = host
    this.connection = connection
    this.write(encoder)
  }
  onPoolFailure(failure: StreamFailure): void {
    this.failure = failure
    this.#note(`failed:${failure.kind}`)
  }
  onInformational(headers: ResponseHeaders): void {
    this.#note(String(headers.status))
  }
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.responseHeaders = headers
    this.#note(String(headers.status))
    if (endStream) this.#note('end')
  }
  onResponseData(data: Buffer, endStream: boolean): void {
    this.body += data.toString('latin1')
    if (data.length > 0) this.#note(`data:${data.length}`)
    if (endStream) this.#note('end')
  }
  onResponseTrailers(trailers: HeaderMap): void {
    this.#note(`trailers:${trailers.list.join(',')}`)
  }
  onReset(failure: StreamFailure): void {
    this.failure = failure
    this.#note(`reset:${failure.kind}`)
  }
  onRequestBackpressure(above: boolean): void {
    this.#note(above ? 'above' : 'below')
  }
  #note(event: string): void {
    this.events.push(event)
    this.onEvent(event)
  }
}

export function writeGet(encoder: RequestEncoder): void {
  encoder.encodeHeaders(new RequestHeaders('GET', '/', 'c', 'http'), true)
}
