/** Operators that read what was noted of the request: codes, flags, sizes, times, names, failure. */
import { GRPC_STATUS_NAMES, grpcStatusOfHttp } from '../../base/grpc-status.ts'
import { uuid4 } from '../../base/random.ts'
import { nearest } from '../../base/suggest.ts'
import { responseFlagsLongText, responseFlagsText } from '../response-flags.ts'
import type { FailureView, StreamInfo } from '../stream-info.ts'
import { binaryText, type Extractor, type FormatContext } from './context.ts'
import { alone, cut, type Operator, type OperatorCall, OperatorError, type OperatorTable } from './operator.ts'
import { compileTimeFormat, timeFormatHasNewline } from './time-format.ts'

/** Whole milliseconds from the first byte of the request to `moment`; undefined where that has not come. */
function sinceStart(moment: (info: StreamInfo) => number): Operator {
  return alone(({ info }) => {
    const ms = moment(info)
    return ms === 0 ? undefined : Math.floor(ms - info.startMs)
  })
}

function number(read: (info: StreamInfo) => number): Operator {
  return alone(({ info }) => read(info))
}

/** A text of which '' means that there is none. */
function text(read: (info: StreamInfo) => string): Operator {
  return alone(({ info }) => read(info) || undefined)
}

/** A name that comes from configuration, where it may hold any character. */
function name(read: (info: StreamInfo) => string): Operator {
  return alone(({ info }) => binaryText(read(info)) || undefined)
}

/** What this proxy does not measure; Envoy prints these values where it does not either. */
const zero = alone(() => 0)
const missing = alone(() => undefined)

const duration: Operator = {
  syntax: 'alone',
  compile({ options: { clock } }) {
    return ({ info }) => Math.floor((info.endMs === 0 ? clock.now() : info.endMs) - info.startMs)
  },
}

function time(read: (info: StreamInfo, wall: () => number) => number, local: boolean): Operator {
  return {
    syntax: 'argument_optional',
    compile({ argument, options: { clock } }) {
      if (timeFormatHasNewline(argument)) {
        throw new OperatorError('Invalid header configuration. Format string contains newline.')
      }
      const format = compileTimeFormat(binaryText(argument), local)
      const wall = () => clock.wall()
      return ({ info }) => format(read(info, wall))
    },
  }
}

/** Moments of `%COMMON_DURATION(from:to:unit)%`: downstream and upstream, connect, handshake, receive and send. */
const MOMENTS: Readonly<Record<string, (info: StreamInfo) => number>> = {
  DS_RX_BEG: info => info.startMs,
  DS_RX_END: info => info.lastRequestByteMs,
  US_CX_BEG: info => info.upstreamConnectStartMs,
  US_CX_END: info => info.upstreamConnectEndMs,
  US_HS_END: info => info.upstreamTlsEndMs,
  US_TX_BEG: info => info.firstUpstreamTxByteMs,
  US_TX_END: info => info.lastUpstreamTxByteMs,
  US_RX_BEG: info => info.firstUpstreamRxByteMs,
  US_RX_END: info => info.lastUpstreamRxByteMs,
  DS_TX_BEG: info => info.firstDownstreamTxByteMs,
  DS_TX_END: info => info.lastDownstreamTxByteMs,
}

const PER_MS: Readonly<Record<string, number>> = { ms: 1, us: 1000, ns: 1_000_000 }

/** A moment of another name is one that some filter would note in Envoy: it is accepted, and has never come. */
function compileCommonDuration({ argument }: OperatorCall): Extractor {
  const parts = argument.split(':')
  if (parts.length < 2 || parts.length > 3) {
    throw new OperatorError(`Invalid common duration configuration: ${argument}.`)
  }
  const perMs = PER_MS[parts[2] ?? 'ms']
  if (perMs === undefined) throw new OperatorError(`Invalid common duration precision: ${parts[2]}.`)
  const from = MOMENTS[parts[0]!]
  const to = MOMENTS[parts[1]!]
  if (from === undefined || to === undefined) return () => undefined
  const startIsMoment = parts[0] === 'DS_RX_BEG'
  return ({ info }) => {
    const start = from(info)
    const end = to(info)
    // A manual clock begins at 0, so that the start of a request may be 0 and still have come.
    if ((start === 0 && !startIsMoment) || end === 0 || end < start) return undefined
    return Math.floor((end - start) * perMs)
  }
}

/** The gRPC status; for an answer to gRPC that has none, what gRPC makes of its HTTP status. */
function grpcStatusOf({ info, requestHeaders }: FormatContext): number | undefined {
  // What is no status prints as -1, as in Envoy.
  if (info.grpcStatus !== -1) return Math.max(-1, info.grpcStatus)
  if (info.responseCode === 0 || !/^application\/grpc(?:\+|$)/.test(requestHeaders?.get('content-type') ?? '')) {
    return undefined
  }
  return grpcStatusOfHttp(info.responseCode)
}

function compileGrpcStatus({ argument, needs }: OperatorCall): Extractor {
  needs.add('requestHeaders')
  if (argument === 'NUMBER') return grpcNumber
  if (argument !== '' && argument !== 'CAMEL_STRING' && argument !== 'SNAKE_STRING') {
    throw new OperatorError(`GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: ${argument}`)
  }
  const column = argument === 'SNAKE_STRING' ? 1 : 0
  return context => {
    const status = grpcStatusOf(context)
    return status === undefined ? undefined : (GRPC_STATUS_NAMES[status]?.[column] ?? String(status))
  }
}

const grpcNumber: Extractor = context => grpcStatusOf(context)

/** Blanks become underscores, so that the field stays one word of the line. */
function compileDetails({ argument }: OperatorCall): Extractor {
  if (argument === 'ALLOW_WHITESPACES') return ({ info }) => info.responseCodeDetails || undefined
  return ({ info }) => withoutBlanks(info.responseCodeDetails) || undefined
}

function withoutBlanks(text: string): string {
  return text.includes(' ') || /\s/.test(text) ? text.replaceAll(/\s/g, '_') : text
}

const FAILURE_FIELDS: Readonly<Record<string, (failure: FailureView) => string>> = {
  ID: failure => failure.id,
  ROLE: failure => failure.role,
  ORIGIN: failure => failure.origin,
  CAUSE: failure => failure.cause,
  LINK: failure => failure.link,
  PATH: failure => failure.path,
  CONFIDENCE: failure => failure.confidence,
}

function compileFailure({ argument, maxLength, needs }: OperatorCall): Extractor {
  const read = FAILURE_FIELDS[argument]
  if (read === undefined) {
    const fields = Object.keys(FAILURE_FIELDS)
    const found = nearest(argument.toUpperCase(), fields)
    const hint = found === undefined ? '' : `, did you mean "${found}"?`
    throw new OperatorError(`FAILURE only supports ${fields.join(', ')}. Got: ${argument}`, hint)
  }
  needs.add('failure')
  return ({ info }) => {
    const failure = info.failure
    return failure === undefined ? undefined : cut(binaryText(read(failure)), maxLength) || undefined
  }
}

function compileEnvironment({ argument, maxLength, options }: OperatorCall): Extractor {
  // Read once: Envoy prints `-` also in JSON where there is no such variable.
  const value = cut(binaryText(options.environment[argument] ?? '-'), maxLength)
  return () => value
}

export const streamOperators: OperatorTable = {
  START_TIME: time(info => info.startWallMs, false),
  START_TIME_LOCAL: time(info => info.startWallMs, true),
  EMIT_TIME: time((_, wall) => wall(), false),
  EMIT_TIME_LOCAL: time((_, wall) => wall(), true),
  DURATION: duration,
  REQUEST_DURATION: sinceStart(info => info.lastRequestByteMs),
  REQUEST_TX_DURATION: sinceStart(info => info.lastUpstreamTxByteMs),
  RESPONSE_DURATION: sinceStart(info => info.firstUpstreamRxByteMs),
  RESPONSE_TX_DURATION: alone(({ info }) =>
    info.lastDownstreamTxByteMs === 0 || info.firstUpstreamRxByteMs === 0
      ? undefined
      : Math.floor(info.lastDownstreamTxByteMs - info.firstUpstreamRxByteMs),
  ),
  ROUNDTRIP_DURATION: missing,
  UPSTREAM_CONNECTION_POOL_READY_DURATION: alone(({ info }) =>
    info.upstreamPoolWaitMs < 0 ? undefined : Math.floor(info.upstreamPoolWaitMs),
  ),
  COMMON_DURATION: { syntax: 'argument', compile: compileCommonDuration },
  ROUTE_RESOLUTION_COUNT: alone(({ info }) => (info.routeName === '' && info.clusterName === '' ? 0 : 1)),

  PROTOCOL: alone(({ info }) => info.protocol || undefined),
  RESPONSE_CODE: number(info => info.responseCode),
  RESPONSE_CODE_DETAILS: { syntax: 'argument_optional', compile: compileDetails },
  RESPONSE_FLAGS: alone(({ info }) => (info.responseFlags === 0 ? '-' : responseFlagsText(info.responseFlags))),
  RESPONSE_FLAGS_LONG: alone(({ info }) => responseFlagsLongText(info.responseFlags)),
  CONNECTION_TERMINATION_DETAILS: text(info => info.connectionTerminationDetails),
  CUSTOM_FLAGS: alone(() => ''),
  GRPC_STATUS: { syntax: 'argument_optional', compile: compileGrpcStatus },
  GRPC_STATUS_NUMBER: alone(grpcNumber),

  BYTES_RECEIVED: number(info => info.bytesReceived),
  BYTES_SENT: number(info => info.bytesSent),
  BYTES_RETRANSMITTED: zero,
  PACKETS_RETRANSMITTED: zero,
  DOWNSTREAM_WIRE_BYTES_RECEIVED: number(info => info.downstreamWireBytesReceived),
  DOWNSTREAM_WIRE_BYTES_SENT: number(info => info.downstreamWireBytesSent),
  DOWNSTREAM_HEADER_BYTES_RECEIVED: number(info => info.requestHeaderBytes),
  DOWNSTREAM_HEADER_BYTES_SENT: number(info => info.responseHeaderBytes),
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED: number(info => info.requestHeaderBytes),
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT: number(info => info.responseHeaderBytes),
  UPSTREAM_WIRE_BYTES_RECEIVED: number(info => info.upstreamWireBytesReceived),
  UPSTREAM_WIRE_BYTES_SENT: number(info => info.upstreamWireBytesSent),
  UPSTREAM_HEADER_BYTES_RECEIVED: number(info => info.upstreamHeaderBytesReceived),
  UPSTREAM_HEADER_BYTES_SENT: number(info => info.upstreamHeaderBytesSent),
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED: number(info => info.upstreamHeaderBytesReceived),
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT: number(info => info.upstreamHeaderBytesSent),

  ROUTE_NAME: name(info => info.routeName),
  VIRTUAL_CLUSTER_NAME: name(info => info.virtualClusterName),
  LISTENER_NAME: name(info => info.downstream.listenerName),
  FILTER_CHAIN_NAME: name(info => info.downstream.filterChainName),
  UPSTREAM_CLUSTER: name(info => info.clusterAltStatName || info.clusterName),
  UPSTREAM_CLUSTER_RAW: name(info => info.clusterName),
  STREAM_ID: text(info => info.requestId),
  TRACE_ID: text(info => info.traceId),
  SPAN_ID: text(info => info.spanId),
  UNIQUE_ID: {
    syntax: 'alone',
    compile:
      ({ options: { random } }) =>
      () =>
        uuid4(random),
  },
  HOSTNAME: {
    syntax: 'alone',
    compile:
      ({ options: { hostname } }) =>
      () =>
        hostname,
  },
  ENVIRONMENT: { syntax: 'argument:length', compile: compileEnvironment },
  FAILURE: { syntax: 'argument:length', compile: compileFailure },
}

export { withoutBlanks }
