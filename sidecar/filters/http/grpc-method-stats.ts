/**
 * What is counted of gRPC calls, by cluster, service and method (Envoy: `Grpc::Context`):
 * `cluster.<c>.<protocol>.<service>.<method>.{<status>,success,failure,total,request_message_count,…}`. The filters for
 * gRPC statistics and for gRPC-Web count alike.
 *
 * Paths come from callers, so that the number of methods is bounded: what comes after is counted without service and
 * method, as Envoy does with methods that its list does not name.
 */
import type { HeaderMap } from '../../codec/header-map.ts'
import type { FilterContext, HttpStream } from '../../filter-chain/http-filter.ts'
import type { Counter, Histogram, StatsScope } from '../../observability/stats.ts'

/** Methods of one filter that get counters of their own, over all clusters. */
export const MAX_METHODS = 1000
/** Statuses beyond those of gRPC that get a counter of their own, per method. */
const MAX_FOREIGN_CODES = 8
const LAST_CODE = 16

export type GrpcProtocol = 'grpc' | 'grpc-web'

/** The counters of one method of one cluster, made when they are first needed, as by Envoy. */
export class GrpcMethodStats {
  readonly #scope: StatsScope
  readonly #codes = new Map<string, Counter>()
  #foreignCodes = 0
  #success: Counter | undefined = undefined
  #failure: Counter | undefined = undefined
  #total: Counter | undefined = undefined
  #requestMessages: Counter | undefined = undefined
  #responseMessages: Counter | undefined = undefined
  #upstreamTime: Histogram | undefined = undefined

  constructor(scope: StatsScope) {
    this.#scope = scope
  }

  /** Charges the status in these headers or trailers, if there is one. */
  chargeStatus(headers: HeaderMap): void {
    const status = headers.get('grpc-status')
    if (status === undefined) return
    this.#code(status)?.inc()
    if (status === '0') (this.#success ??= this.#scope.counter('success')).inc()
    else (this.#failure ??= this.#scope.counter('failure')).inc()
    this.#total ??= this.#scope.counter('total')
    this.#total.inc()
  }

  requestMessages(count: number): void {
    this.#requestMessages ??= this.#scope.counter('request_message_count')
    this.#requestMessages.add(count)
  }

  responseMessages(count: number): void {
    this.#responseMessages ??= this.#scope.counter('response_message_count')
    this.#responseMessages.add(count)
  }

  upstreamTime(ms: number): void {
    this.#upstreamTime ??= this.#scope.histogram('upstream_rq_time')
    this.#upstreamTime.record(ms)
  }

  #code(status: string): Counter | undefined {
    const known = this.#codes.get(status)
    if (known !== undefined) return known
    if (!/^\d{1,3}$/.test(status)) return undefined
    if (Number(status) > LAST_CODE && ++this.#foreignCodes > MAX_FOREIGN_CODES) return undefined
    const made = this.#scope.counter(status)
    this.#codes.set(status, made)
    return made
  }
}

/** The methods that one filter has seen. */
export class GrpcMethods {
  readonly #context: FilterContext
  readonly #protocol: GrpcProtocol
  /** Goes with the cluster's scope, and so with the cluster. */
  readonly #byCluster = new WeakMap<StatsScope, Map<string, GrpcMethodStats>>()
  readonly #overflow: Counter
  #methods = 0

  constructor(context: FilterContext, protocol: GrpcProtocol) {
    this.#context = context
    this.#protocol = protocol
    this.#overflow = context.statsOverflow('grpc_methods')
  }

  /** `method` is `service.method`, '' for calls that are counted without. Undefined where there is no cluster to charge. */
  of(stream: HttpStream, method: string): GrpcMethodStats | undefined {
    const cluster = stream.route?.clusterName
    const scope = cluster === undefined || cluster === '' ? undefined : this.#context.clusters.scopeOf(cluster)
    if (scope === undefined) return undefined
    let methods = this.#byCluster.get(scope)
    if (methods === undefined) {
      methods = new Map()
      this.#byCluster.set(scope, methods)
    }
    const known = methods.get(method)
    if (known !== undefined) return known
    if (method !== '' && this.#methods >= MAX_METHODS) {
      this.#overflow.inc()
      return this.of(stream, '')
    }
    if (method !== '') this.#methods++
    const made = new GrpcMethodStats(scope.scope(method === '' ? this.#protocol : `${this.#protocol}.${method}`))
    methods.set(method, made)
    return made
  }
}
