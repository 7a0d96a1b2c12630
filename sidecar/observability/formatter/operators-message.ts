/** Operators that read headers, trailers and the path. */
import { binaryText, type Extractor, type FormatContext, type FormatNeed, type HeaderView } from './context.ts'
import { alone, cut, type Operator, type OperatorCall, OperatorError, type OperatorTable } from './operator.ts'

type Side = 'requestHeaders' | 'responseHeaders' | 'requestTrailers' | 'responseTrailers'

function header(side: Side): Operator {
  return { syntax: 'argument:length', compile: call => compileHeader(call, side) }
}

/** `NAME?ALTERNATIVE`: the first value of the first of the two that is there. */
function compileHeader(call: OperatorCall, side: Side, shape?: (value: string) => string): Extractor {
  const [main, alternative] = headerNames(call.argument)
  const { maxLength } = call
  call.needs.add(side)
  if (alternative === '' && maxLength === Number.POSITIVE_INFINITY && shape === undefined) {
    return context => context[side]?.get(main)
  }
  return context => {
    const view = context[side]
    if (view === undefined) return undefined
    let value = view.get(main)
    if (value === undefined && alternative !== '') value = view.get(alternative)
    return value === undefined ? undefined : cut(shape === undefined ? value : shape(value), maxLength)
  }
}

function headerNames(argument: string): [string, string] {
  const names = argument.split('?')
  if (names.length > 2) {
    throw new OperatorError(`More than 1 alternative header specified in token: ${argument}`)
  }
  for (const name of names) {
    if (!/^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]*$/.test(name)) {
      throw new OperatorError('Invalid header configuration. Format string contains invalid characters.')
    }
  }
  const [main = '', alternative = ''] = names.map(name => internalized(name.toLowerCase()))
  return [main, alternative]
}

/** The same text as the one string that the engine keeps for property names: comparing two of those is a pointer's work. */
function internalized(text: string): string {
  return Object.keys({ [text]: 0 })[0]!
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?')
  return query < 0 ? path : path.slice(0, query)
}

const ORIGINAL_PATH = 'x-envoy-original-path'

function pathOf(view: HeaderView | undefined, which: string): string | undefined {
  if (view === undefined) return undefined
  if (which === 'ORIG') return view.get(ORIGINAL_PATH)
  return which === 'PATH' ? view.get(':path') : (view.get(ORIGINAL_PATH) ?? view.get(':path'))
}

/** `%PATH(NQ:ORIG):9%`: with or without query; the path as sent, as forwarded, or as sent when it was changed. */
function compilePath(call: OperatorCall): Extractor {
  const [query = '', which = ''] = call.argument.split(':')
  if (query !== '' && query !== 'WQ' && query !== 'NQ') {
    throw new OperatorError(`Invalid PATH option: '${query}', only 'WQ'/'NQ' are allowed`)
  }
  if (which !== '' && which !== 'ORIG' && which !== 'PATH' && which !== 'ORIG_OR_PATH') {
    throw new OperatorError(`Invalid PATH option: '${which}', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed`)
  }
  call.needs.add('requestHeaders')
  const { maxLength } = call
  return ({ requestHeaders }) => {
    const path = pathOf(requestHeaders, which)
    return path === undefined ? undefined : cut(query === 'NQ' ? withoutQuery(path) : path, maxLength)
  }
}

function queryOf(context: FormatContext): string | undefined {
  const path = pathOf(context.requestHeaders, 'ORIG_OR_PATH')
  const start = path === undefined ? -1 : path.indexOf('?')
  return start < 0 ? undefined : path!.slice(start + 1)
}

function compileQueryParam(call: OperatorCall): Extractor {
  call.needs.add('requestHeaders')
  const wanted = binaryText(call.argument)
  const { maxLength } = call
  return context => {
    for (const pair of (queryOf(context) ?? '').split('&')) {
      const equals = pair.indexOf('=')
      if (percentDecoded(equals < 0 ? pair : pair.slice(0, equals)) === wanted) {
        return cut(equals < 0 ? '' : percentDecoded(pair.slice(equals + 1)), maxLength)
      }
    }
    return undefined
  }
}

/** `+` stays as it is, as in Envoy. */
function percentDecoded(text: string): string {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function compileQueryParams(call: OperatorCall): Extractor {
  if (!['', 'ORIG', 'DECODED'].includes(call.argument)) {
    throw new OperatorError(`Invalid QUERY_PARAMS option: '${call.argument}', only 'ORIG'/'DECODED' are allowed`)
  }
  call.needs.add('requestHeaders')
  const { maxLength } = call
  // Envoy 1.40 prints the query as it was sent for DECODED too (measured).
  return context => {
    const query = queryOf(context)
    return query === undefined ? undefined : cut(query, maxLength)
  }
}

/**
 * A field of the first element of `x-forwarded-client-cert`: `By=…;Hash=…;Subject="…";URI=…;DNS=a;DNS=b`. Several of one
 * name are joined by commas.
 */
function compileXfcc(call: OperatorCall): Extractor {
  const wanted = call.argument.toLowerCase()
  if (wanted === '') throw new OperatorError('XFCC_VALUE command requires a subcommand')
  call.needs.add('requestHeaders')
  return ({ requestHeaders }) => {
    const xfcc = requestHeaders?.get('x-forwarded-client-cert')
    if (xfcc === undefined) return undefined
    const values: string[] = []
    for (const [separator, name, quoted, plain] of xfcc.matchAll(
      /(?:^|[;,])\s*(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^;,]*))/g,
    )) {
      if (values.length > 0 && separator.startsWith(',')) break
      if (name!.toLowerCase() === wanted) values.push(quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '')
    }
    return values.length === 0 ? undefined : values.join(',')
  }
}

function byteSize(side: Exclude<Side, 'requestTrailers'>, noted: (context: FormatContext) => number): Operator {
  return alone(context => context[side]?.byteSize?.() ?? noted(context), side satisfies FormatNeed)
}

export const messageOperators: OperatorTable = {
  REQ: header('requestHeaders'),
  REQUEST_HEADER: header('requestHeaders'),
  STREAM_INFO_REQ: header('requestHeaders'),
  RESP: header('responseHeaders'),
  RESPONSE_HEADER: header('responseHeaders'),
  TRAILER: header('responseTrailers'),
  RESPONSE_TRAILER: header('responseTrailers'),
  REQUEST_TRAILER: header('requestTrailers'),
  REQ_WITHOUT_QUERY: {
    syntax: 'argument:length',
    compile: call => compileHeader(call, 'requestHeaders', withoutQuery),
  },
  PATH: { syntax: 'argument_optional:length', compile: compilePath },
  QUERY_PARAM: { syntax: 'argument:length', compile: compileQueryParam },
  QUERY_PARAMS: { syntax: 'argument_optional:length', compile: compileQueryParams },
  XFCC_VALUE: { syntax: 'argument_optional:length', compile: compileXfcc },
  LOCAL_REPLY_BODY: alone(context => context.localReplyBody ?? ''),
  ACCESS_LOG_TYPE: alone(context => context.accessLogType ?? 'DownstreamEnd'),
  REQUEST_HEADERS_BYTES: byteSize('requestHeaders', ({ info }) => info.requestHeaderBytes),
  RESPONSE_HEADERS_BYTES: byteSize('responseHeaders', ({ info }) => info.responseHeaderBytes),
  RESPONSE_TRAILERS_BYTES: byteSize('responseTrailers', () => 0),
}
