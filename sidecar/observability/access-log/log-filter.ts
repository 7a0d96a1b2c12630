/**
 * Which requests an access log writes (Envoy: `AccessLogFilter`), composed once into a function.
 */
import { grpcStatusOfHttp } from '../../base/grpc-status.ts'
import type { Random } from '../../base/random.ts'
import type { FormatContext, HeaderView } from '../formatter/context.ts'
import { responseFlagOfCode } from '../response-flags.ts'
import { type RuntimeNumbers, requestIdNumber, TraceReason } from '../tracing/sampling.ts'

export interface Comparison {
  readonly op: 'EQ' | 'GE' | 'LE' | 'NE'
  readonly value: number
  /** Runtime key that may replace the value, '' for none. */
  readonly runtimeKey: string
}

export type LogFilterConfig =
  | { readonly type: 'status_code'; readonly comparison: Comparison }
  | { readonly type: 'duration'; readonly comparison: Comparison }
  | { readonly type: 'not_health_check' }
  | { readonly type: 'traceable' }
  | {
      readonly type: 'runtime'
      readonly runtimeKey: string
      readonly numerator: number
      readonly denominator: 100 | 10_000 | 1_000_000
      readonly useIndependentRandomness: boolean
    }
  | { readonly type: 'and' | 'or'; readonly filters: readonly LogFilterConfig[] }
  /** A header matcher of the router, made into a function. */
  | { readonly type: 'header'; readonly matches: (headers: HeaderView) => boolean }
  /** Codes (`UF`); empty for any flag. */
  | { readonly type: 'response_flag'; readonly flags: readonly string[] }
  | { readonly type: 'grpc_status'; readonly statuses: readonly number[]; readonly exclude: boolean }
  | {
      readonly type: 'metadata'
      readonly namespace: string
      readonly path: readonly string[]
      readonly matches: (value: unknown) => boolean
      readonly matchIfKeyNotFound: boolean
    }
  /** `DownstreamEnd`, …; empty for any type. */
  | { readonly type: 'log_type'; readonly types: readonly string[]; readonly exclude: boolean }

export type LogFilter = (context: FormatContext) => boolean

export interface LogFilterDependencies {
  readonly random: Random
  readonly runtime?: RuntimeNumbers | undefined
}

export function compileLogFilter(config: LogFilterConfig, dependencies: LogFilterDependencies): LogFilter {
  const { runtime } = dependencies
  switch (config.type) {
    case 'status_code': {
      const holds = comparison(config.comparison, runtime)
      return ({ info }) => holds(info.responseCode)
    }
    case 'duration': {
      const holds = comparison(config.comparison, runtime)
      return ({ info }) => holds(Math.floor(info.endMs - info.startMs))
    }
    case 'not_health_check':
      return ({ info }) => !info.healthCheck
    case 'traceable':
      // Envoy: traced because a service forced it, and for no other reason.
      return ({ info }) => info.traceReason === TraceReason.ServiceForced
    case 'runtime':
      return runtimeFilter(config, dependencies)
    case 'and':
    case 'or':
      return junction(
        config.filters.map(filter => compileLogFilter(filter, dependencies)),
        config.type === 'or',
      )
    case 'header':
      return ({ requestHeaders }) => requestHeaders !== undefined && config.matches(requestHeaders)
    case 'response_flag': {
      const mask = config.flags.reduce((flags, code) => flags | (responseFlagOfCode(code) ?? 0), 0)
      return ({ info }) => (mask === 0 ? info.responseFlags !== 0 : (info.responseFlags & mask) !== 0)
    }
    case 'grpc_status':
      return grpcStatusFilter(new Set(config.statuses), config.exclude)
    case 'metadata':
      return metadataFilter(config)
    case 'log_type': {
      const types = new Set(config.types)
      return context => {
        const found = types.size === 0 || types.has(context.accessLogType ?? 'DownstreamEnd')
        return config.exclude ? !found : found
      }
    }
  }
}

function comparison({ op, value, runtimeKey }: Comparison, runtime: RuntimeNumbers | undefined) {
  const wanted = runtimeKey === '' || runtime === undefined ? () => value : () => runtime.number(runtimeKey, value)
  if (op === 'EQ') return (actual: number) => actual === wanted()
  if (op === 'NE') return (actual: number) => actual !== wanted()
  return op === 'GE' ? (actual: number) => actual >= wanted() : (actual: number) => actual <= wanted()
}

function junction(filters: readonly LogFilter[], any: boolean): LogFilter {
  return context => {
    for (const filter of filters) if (filter(context) === any) return any
    return !any
  }
}

/** The request id is the lot, so that all hops of a request log it or none does. */
function runtimeFilter(
  config: Extract<LogFilterConfig, { type: 'runtime' }>,
  { random, runtime }: LogFilterDependencies,
): LogFilter {
  const { runtimeKey, numerator, denominator, useIndependentRandomness } = config
  return ({ info }) => {
    const number = useIndependentRandomness ? Number.NaN : requestIdNumber(info.requestId)
    const lot = Number.isNaN(number) ? random.uint32() : number
    return lot % denominator < (runtime === undefined ? numerator : runtime.number(runtimeKey, numerator))
  }
}

/** An answer that carries no gRPC status counts by its HTTP status; there 200 is OK. */
function grpcStatusFilter(statuses: ReadonlySet<number>, exclude: boolean): LogFilter {
  return ({ info }) => {
    const status =
      info.grpcStatus >= 0 ? info.grpcStatus : info.responseCode === 200 ? 0 : grpcStatusOfHttp(info.responseCode)
    return statuses.has(status) !== exclude
  }
}

function metadataFilter(config: Extract<LogFilterConfig, { type: 'metadata' }>): LogFilter {
  const { namespace, path, matches, matchIfKeyNotFound } = config
  return ({ info }) => {
    let value: unknown = info.dynamicMetadata?.get(namespace)
    for (const key of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return matchIfKeyNotFound
      value = (value as Record<string, unknown>)[key]
    }
    return value === undefined || value === null ? matchIfKeyNotFound : matches(value)
  }
}
