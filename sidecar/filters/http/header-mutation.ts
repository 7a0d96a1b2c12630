/**
 * `envoy.filters.http.header_mutation`: adds, overwrites and removes headers, trailers and query parameters.
 *
 * The filter's own mutations come first, then those of the route and of the virtual host, so that the less specific ones
 * have the last word; `most_specific_header_mutations_wins` turns these two round. The route stays the one that was
 * matched before.
 *
 * Where Envoy decodes every query parameter and writes it out undecoded (a blank, a `&` or a line break then breaks the
 * request line), parameters that no mutation touches stay as they came. They are sorted by name, as in Envoy.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type {
  KeyValueAppend_KeyValueAppendAction as AppendAction,
  HeaderMutationPerRoute,
  HttpHeaderMutation,
  KeyValueMutation,
  Mutations as MutationsMessage,
} from '../../config/schema/generated/types.ts'
import {
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import { ResponseFlag } from '../../observability/response-flags.ts'
import { Mistakes } from '../../router/mistakes.ts'
import { compileValue, HeaderMutations, type ValueFormat } from './header-mutations.ts'
import { percentDecode, percentEncode, splitQuery } from './query-string.ts'

interface Mutations {
  readonly request: HeaderMutations
  readonly requestTrailers: HeaderMutations
  readonly response: HeaderMutations
  readonly responseTrailers: HeaderMutations
  readonly query: readonly QueryMutation[]
}

interface HeaderMutationConfig {
  readonly mutations: Mutations
  readonly mostSpecificWins: boolean
}

export const headerMutation: HttpFilterFactory<HeaderMutationConfig, Mutations> = {
  name: 'envoy.filters.http.header_mutation',
  typeUrl: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  routeTypeUrl: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
  decodeConfig: (message: HttpHeaderMutation) => ({
    mutations: decodeMutations(message.mutations),
    mostSpecificWins: message.mostSpecificHeaderMutationsWins,
  }),
  decodeRouteConfig: (message: HeaderMutationPerRoute) => decodeMutations(message.mutations),
  create: (config, { filterName }) => {
    return () => new HeaderMutation(config, filterName)
  },
}

function decodeMutations(message: MutationsMessage | undefined): Mutations {
  const root = new Mistakes(message)
  const mistakes = root.below('mutations', message)
  const mutations: Mutations = {
    request: HeaderMutations.of(message?.requestMutations ?? [], mistakes, 'request_mutations'),
    requestTrailers: HeaderMutations.of(
      message?.requestTrailersMutations ?? [],
      mistakes,
      'request_trailers_mutations',
    ),
    response: HeaderMutations.of(message?.responseMutations ?? [], mistakes, 'response_mutations'),
    responseTrailers: HeaderMutations.of(
      message?.responseTrailersMutations ?? [],
      mistakes,
      'response_trailers_mutations',
    ),
    query: (message?.queryParameterMutations ?? []).map((mutation, i) =>
      decodeQueryMutation(mutation, mistakes.below(`query_parameter_mutations[${i}]`, mutation)),
    ),
  }
  if ((message?.formatters.length ?? 0) > 0) mistakes.error('formatters', 'formatter extensions are not supported')
  root.throwAll()
  return mutations
}

interface QueryMutation {
  readonly name: string
  /** Undefined removes. */
  readonly value: ValueFormat | undefined
  readonly action: AppendAction
}

function decodeQueryMutation(message: KeyValueMutation, mistakes: Mistakes): QueryMutation {
  const { append, remove } = message
  if (append === undefined) {
    if (remove === '') mistakes.error('', "one of 'append' and 'remove' must be specified")
    return { name: remove, value: undefined, action: 'APPEND_IF_EXISTS_OR_ADD' }
  }
  if (remove !== '') mistakes.error('', "only one of 'append' and 'remove' can be specified")
  const { record } = append
  if (record === undefined) mistakes.error('append.record', 'is required')
  const text = record?.value ?? ''
  if (typeof text !== 'string') mistakes.error('append.record.value', 'must be a string')
  const value = compileValue(typeof text === 'string' ? text : '', 'append.record.value', mistakes)
  return { name: record?.key ?? '', value, action: append.action }
}

class HeaderMutation implements HttpFilter {
  readonly #config: HeaderMutationConfig
  readonly #filterName: string
  /** The same for the whole stream, whatever becomes of its route. */
  #all: readonly Mutations[] | undefined = undefined
  #replied = false

  constructor(config: HeaderMutationConfig, filterName: string) {
    this.#config = config
    this.#filterName = filterName
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
    for (const { request, query } of this.#mutations(stream)) {
      request.apply(headers, stream)
      if (query.length > 0) headers.path = mutateQuery(headers.path, query, stream)
    }
    const missing = headers.method === '' ? ':method' : headers.path === '' ? ':path' : undefined
    if (missing === undefined || headers.method === 'CONNECT') return FilterStatus.Continue
    return stream.sendLocalReply({
      status: 503,
      details: `filter_removed_required_request_headers{missing_required_header:_${missing}}`,
      body: `missing required header: ${missing}`,
      flag: ResponseFlag.DownstreamProtocolError,
    })
  }

  onRequestTrailers(stream: HttpStream, trailers: HeaderMap): FilterStatus {
    for (const { requestTrailers } of this.#mutations(stream)) requestTrailers.apply(trailers, stream)
    return FilterStatus.Continue
  }

  onResponseHeaders(stream: HttpStream, headers: ResponseHeaders): FilterStatus {
    const { status } = headers
    for (const { response } of this.#mutations(stream)) response.apply(headers, stream)
    // Removing the status takes the whole response away, as in Envoy. The reply that says so comes by here again.
    if (headers.status === 0 && this.#replied) headers.status = status
    else if (headers.status === 0) {
      this.#replied = true
      return stream.sendLocalReply({
        status: 502,
        details: 'filter_removed_required_response_headers{missing_required_header:_:status}',
        body: 'missing required header: :status',
      })
    }
    return FilterStatus.Continue
  }

  onResponseTrailers(stream: HttpStream, trailers: HeaderMap): FilterStatus {
    for (const { responseTrailers } of this.#mutations(stream)) responseTrailers.apply(trailers, stream)
    return FilterStatus.Continue
  }

  #mutations(stream: HttpStream): readonly Mutations[] {
    if (this.#all !== undefined) return this.#all
    const { mutations, mostSpecificWins } = this.#config
    const ofRoute = stream.routeConfigs<Mutations>(this.#filterName)
    this.#all = [mutations, ...(mostSpecificWins ? ofRoute : ofRoute.toReversed())]
    return this.#all
  }
}

interface Parameter {
  /** Decoded. */
  readonly name: string
  /** `name=value` as it goes on the wire. */
  readonly text: string
}

function mutateQuery(path: string, mutations: readonly QueryMutation[], stream: HttpStream): string {
  let parameters: Parameter[] = splitQuery(path).map(({ name, value }) => ({
    name: percentDecode(name),
    text: `${name}=${value}`,
  }))
  for (const { name, value, action } of mutations) {
    const exists = parameters.some(parameter => parameter.name === name)
    if (value === undefined) {
      parameters = parameters.filter(parameter => parameter.name !== name)
      continue
    }
    if ((action === 'ADD_IF_ABSENT' && exists) || (action === 'OVERWRITE_IF_EXISTS' && !exists)) continue
    const added = { name, text: `${percentEncode(name)}=${percentEncode(value(stream))}` }
    if (action.startsWith('OVERWRITE')) parameters = parameters.filter(parameter => parameter.name !== name)
    parameters.push(added)
  }
  parameters.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const start = path.indexOf('?')
  const bare = start < 0 ? path : path.slice(0, start)
  return parameters.length === 0 ? bare : `${bare}?${parameters.map(({ text }) => text).join('&')}`
}
