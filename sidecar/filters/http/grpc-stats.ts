/**
 * `envoy.filters.http.grpc_stats`: counts gRPC calls and their messages by method, see `grpc-method-stats.ts`, and tells
 * the access log how many messages went each way (`emit_filter_state`).
 *
 * Without `stats_for_all_methods` only methods of the list are counted under their names; all others together under the
 * cluster's. Nothing is kept or held: bodies are looked at as they pass.
 */
import { isGrpcRequest, isGrpcResponse, serviceAndMethod } from '../../codec/grpc/headers.ts'
import { MessageCounter } from '../../codec/grpc/message.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type { BodyChunk } from '../../codec/stream.ts'
import type { GrpcStatsFilterConfig } from '../../config/schema/generated/types.ts'
import {
  type FilterContext,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import type { FilterStateObject } from '../../observability/stream-info.ts'
import { type GrpcMethodStats, GrpcMethods } from './grpc-method-stats.ts'

/** Key of the counts in the filter state; what `%FILTER_STATE(…)%` asks for. */
const STATE_KEY = 'envoy.filters.http.grpc_stats'

interface GrpcStatsConfig {
  readonly emitFilterState: boolean
  readonly allMethods: boolean
  /** `/package.Service/Method`s that are counted by name. */
  readonly listed: ReadonlySet<string>
  readonly upstreamStats: boolean
  readonly replaceDots: boolean
}

export const grpcStats: HttpFilterFactory<GrpcStatsConfig> = {
  name: 'envoy.filters.http.grpc_stats',
  typeUrl: 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  decodeConfig(message: GrpcStatsFilterConfig) {
    const services = message.individualMethodStatsAllowlist?.services ?? []
    return {
      emitFilterState: message.emitFilterState,
      allMethods: message.statsForAllMethods === true,
      listed: new Set(services.flatMap(({ name, methodNames }) => methodNames.map(method => `/${name}/${method}`))),
      upstreamStats: message.enableUpstreamStats,
      replaceDots: message.replaceDotsInGrpcServiceName,
    }
  },
  create(config, context) {
    const shared = new Shared(config, context)
    return () => new GrpcStats(shared)
  },
}

/** What is the same for all streams. */
class Shared {
  readonly config: GrpcStatsConfig
  readonly methods: GrpcMethods
  constructor(config: GrpcStatsConfig, context: FilterContext) {
    this.config = config
    this.methods = new GrpcMethods(context, 'grpc')
  }

  /** The counters of a call; undefined where it is no call, or leads to no cluster. */
  statsOf(stream: HttpStream, path: string): GrpcMethodStats | undefined {
    const names = serviceAndMethod(path)
    if (names === undefined) return undefined
    const { allMethods, listed, replaceDots } = this.config
    const [service, method] = names
    if (!allMethods && !listed.has(`/${service}/${method}`)) return this.methods.of(stream, '')
    const name = allMethods && replaceDots ? service.replaceAll('.', '_') : service
    return this.methods.of(stream, `${name}.${method}`)
  }
}

/** Messages of a call, for the access log. */
class MessageCounts implements FilterStateObject {
  requestMessages = 0
  responseMessages = 0
  /** 64-bit numbers are strings in JSON. */
  toJson() {
    return {
      ...(this.requestMessages > 0 && { requestMessageCount: String(this.requestMessages) }),
      ...(this.responseMessages > 0 && { responseMessageCount: String(this.responseMessages) }),
    }
  }
  toText() {
    return `${this.requestMessages},${this.responseMessages}`
  }
  /** Envoy's object does not give out its fields either. */
  field(): undefined {}
}

class GrpcStats implements HttpFilter {
  readonly #shared: Shared
  #stats: GrpcMethodStats | undefined = undefined
  #requests: MessageCounter | undefined = undefined
  #responses: MessageCounter | undefined = undefined
  #counts: MessageCounts | undefined = undefined

  constructor(shared: Shared) {
    this.#shared = shared
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
    if (!isGrpcRequest(headers)) return FilterStatus.Continue
    this.#requests = new MessageCounter()
    this.#stats = this.#shared.statsOf(stream, headers.path)
    return FilterStatus.Continue
  }

  onRequestData(stream: HttpStream, data: BodyChunk): FilterStatus {
    const added = this.#requests?.add(data) ?? 0
    if (added > 0) {
      this.#stats?.requestMessages(added)
      this.#note(stream)
    }
    return FilterStatus.Continue
  }

  onResponseHeaders(stream: HttpStream, headers: ResponseHeaders, endStream: boolean): FilterStatus {
    if (isGrpcResponse(headers, endStream)) this.#responses = new MessageCounter()
    if (this.#stats === undefined) return FilterStatus.Continue
    this.#stats.chargeStatus(headers)
    if (endStream) this.#chargeTime(stream)
    return FilterStatus.Continue
  }

  onResponseData(stream: HttpStream, data: BodyChunk): FilterStatus {
    const added = this.#responses?.add(data) ?? 0
    if (added > 0) {
      this.#stats?.responseMessages(added)
      this.#note(stream)
    }
    return FilterStatus.Continue
  }

  onResponseTrailers(stream: HttpStream, trailers: HeaderMap): FilterStatus {
    if (this.#stats === undefined) return FilterStatus.Continue
    this.#stats.chargeStatus(trailers)
    this.#chargeTime(stream)
    return FilterStatus.Continue
  }

  /** From the last byte that went upstream to the last that came back. */
  #chargeTime({ info }: HttpStream): void {
    if (!this.#shared.config.upstreamStats || info.lastUpstreamTxByteMs === 0 || info.lastUpstreamRxByteMs === 0) return
    this.#stats!.upstreamTime(Math.max(0, info.lastUpstreamRxByteMs - info.lastUpstreamTxByteMs))
  }

  #note({ info }: HttpStream): void {
    if (!this.#shared.config.emitFilterState) return
    if (this.#counts === undefined) {
      this.#counts = new MessageCounts()
      info.setFilterState(STATE_KEY, this.#counts)
    }
    this.#counts.requestMessages = this.#requests?.count ?? 0
    this.#counts.responseMessages = this.#responses?.count ?? 0
  }
}
