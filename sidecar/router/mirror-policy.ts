/** `request_mirror_policies`: which requests are copied to another cluster, and what the copy looks like. */

import { textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RouteAction_RequestMirrorPolicy } from '../config/schema/generated/types.ts'
import type { RuntimeFraction } from '../filter-chain/runtime.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import { formatView } from './format-view.ts'
import { HeaderMutationSteps } from './header-mutation.ts'
import type { Mistakes } from './mistakes.ts'
import { runtimeFraction } from './runtime-fraction.ts'

export class MirrorPolicy {
  /** The fraction of requests that is mirrored, for `Runtime.enabled`; undefined for all. */
  readonly fraction: RuntimeFraction | undefined
  /** `trace_sampled`: whether the copy's span is reported, whatever is decided of the request's; undefined for the same. */
  readonly traceSampled: boolean | undefined
  readonly #cluster: string
  readonly #clusterHeader: string
  readonly #shadowSuffix: boolean
  readonly #host: string
  readonly #mutations: HeaderMutationSteps | undefined

  /** `message` is the current message of `mistakes`. */
  constructor(
    message: RouteAction_RequestMirrorPolicy,
    clusterExists: ((name: string) => boolean) | undefined,
    mistakes: Mistakes,
  ) {
    this.fraction = message.runtimeFraction && runtimeFraction(message.runtimeFraction)
    this.traceSampled = message.traceSampled
    this.#cluster = message.cluster
    this.#clusterHeader = message.clusterHeader.toLowerCase()
    this.#shadowSuffix = !message.disableShadowHostSuffixAppend
    this.#host = textToBytes(message.hostRewriteLiteral)
    this.#mutations = HeaderMutationSteps.compile(
      message.requestHeadersMutations,
      'request_headers_mutations',
      mistakes,
    )
    if (message.cluster !== '' && message.clusterHeader !== '') {
      mistakes.error(
        'cluster_header',
        `Only one of cluster '${message.cluster}' or cluster_header '${message.clusterHeader}' in request mirror policy can be specified`,
      )
    } else if (message.cluster === '' && message.clusterHeader === '') {
      mistakes.error(
        'cluster',
        'Exactly one of cluster or cluster_header in request mirror policy need to be specified',
      )
    }
    if (message.cluster !== '' && clusterExists?.(message.cluster) === false) {
      mistakes.error('cluster', `route: unknown shadow cluster '${message.cluster}'`)
    }
  }

  /** The cluster for this request, '' where the header that names it is missing. */
  clusterFor(headers: RequestHeaders): string {
    return this.#cluster !== '' ? this.#cluster : (headers.get(this.#clusterHeader) ?? '')
  }

  /** Makes of a copy of the request what the mirror is to see. */
  prepare(headers: RequestHeaders, info: StreamInfo): void {
    this.#mutations?.apply(headers, formatView(info, headers, undefined, undefined))
    if (this.#host !== '') headers.authority = this.#host
    else if (this.#shadowSuffix) headers.authority = withShadowSuffix(headers.authority)
  }
}

/** `b.example:8080` → `b.example-shadow:8080`, by which mirrors are told apart in logs. */
function withShadowSuffix(host: string): string {
  const colon = host.lastIndexOf(':')
  if (colon < 0 || colon < host.lastIndexOf(']')) return `${host}-shadow`
  return `${host.slice(0, colon)}-shadow${host.slice(colon)}`
}

/** Compiles the list in `request_mirror_policies` of the current message. */
export function mirrorPolicies(
  messages: readonly RouteAction_RequestMirrorPolicy[],
  clusterExists: ((name: string) => boolean) | undefined,
  mistakes: Mistakes,
): readonly MirrorPolicy[] {
  return messages.map(
    (message, index) =>
      new MirrorPolicy(message, clusterExists, mistakes.below(`request_mirror_policies[${index}]`, message)),
  )
}
