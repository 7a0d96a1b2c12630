/** Route tables: domains that stand once, clusters that exist, rewrites that do not exclude each other. */

import { didYouMean } from '../../base/suggest.ts'
import { extensionCategories } from '../extension-names.ts'
import type {
  AnyMessage,
  RetryPolicy,
  Route,
  RouteAction,
  RouteConfiguration,
  VirtualHost,
  WeightedCluster,
} from '../schema/generated/types.ts'
import { lineOf, type Report } from './report.ts'

export interface RouteContext {
  readonly clusterNames: ReadonlySet<string> | undefined
  /** Names of the HTTP filters beside the route table, as far as known: per-route settings name them. */
  readonly filterNames: ReadonlySet<string> | undefined
  readonly report: Report
}

export function checkRouteConfiguration(configuration: RouteConfiguration, context: RouteContext): void {
  checkDomains(configuration.virtualHosts, context.report)
  // Envoy checks cluster names of a static table by default, of one that comes by RDS only when asked.
  const validate = configuration.validateClusters ?? true
  const checked: RouteContext = validate ? context : { ...context, clusterNames: undefined }
  checkPerFilterConfig(configuration.typedPerFilterConfig, checked)
  for (const virtualHost of configuration.virtualHosts) {
    checkPerFilterConfig(virtualHost.typedPerFilterConfig, checked)
    checkRetryPolicy(virtualHost.retryPolicy, checked.report)
    for (const route of virtualHost.routes) checkRoute(route, checked)
  }
}

function checkDomains(virtualHosts: readonly VirtualHost[], report: Report): void {
  const byDomain = new Map<string, VirtualHost>()
  for (const virtualHost of virtualHosts) {
    for (const domain of virtualHost.domains) {
      const key = domain.toLowerCase()
      const earlier = byDomain.get(key)
      if (earlier) {
        const where =
          earlier === virtualHost
            ? 'twice in this list'
            : `already in "${earlier.name}", on ${lineOf(earlier, 'domains')}`
        const cure =
          domain === '*' && earlier !== virtualHost
            ? '; only one virtual host may take all domains, so put the routes of both into one'
            : ''
        report.error(virtualHost, 'domains', `the domain "${domain}" stands ${where}${cure}`, 'duplicate')
      } else byDomain.set(key, virtualHost)
    }
  }
}

function checkRoute(route: Route, context: RouteContext): void {
  checkPerFilterConfig(route.typedPerFilterConfig, context)
  if (route.route) checkRouteAction(route.route, context)
}

function checkRouteAction(action: RouteAction, context: RouteContext): void {
  const { report } = context
  if (action.cluster !== undefined) checkCluster(action, 'cluster', action.cluster, 'cluster', context)
  if (action.weightedClusters) checkWeightedClusters(action.weightedClusters, context)
  for (const mirror of action.requestMirrorPolicies) {
    if (mirror.cluster !== '') checkCluster(mirror, 'cluster', mirror.cluster, 'shadow cluster', context)
  }
  checkRetryPolicy(action.retryPolicy, report)
  const rewrites = [
    action.prefixRewrite !== '' && 'prefix_rewrite',
    action.regexRewrite && 'regex_rewrite',
    action.pathRewritePolicy && 'path_rewrite_policy',
    action.pathRewrite !== '' && 'path_rewrite',
  ].filter(name => typeof name === 'string')
  if (rewrites.length > 1) report.error(action, rewrites[1], `excludes ${rewrites[0]}; keep one of them`, 'oneof')
}

function checkCluster(owner: object, field: string, name: string, kind: string, context: RouteContext): void {
  const { clusterNames, report } = context
  if (!clusterNames || clusterNames.has(name)) return
  const known = [...clusterNames]
  const list =
    known.length > 0 && known.length <= 8 ? `; there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ')}` : ''
  report.error(owner, field, `unknown ${kind} "${name}"${didYouMean(name, known) || list}`)
}

function checkWeightedClusters(weighted: WeightedCluster, context: RouteContext): void {
  const { report } = context
  let total = 0
  for (const cluster of weighted.clusters) {
    if (cluster.weight === undefined) report.error(cluster, undefined, 'needs a weight', 'rule')
    total += cluster.weight ?? 0
    if ((cluster.name === '') === (cluster.clusterHeader === '')) {
      report.error(cluster, undefined, 'needs either a name or a cluster_header', 'oneof')
    } else if (cluster.name !== '') checkCluster(cluster, 'name', cluster.name, 'weighted cluster', context)
  }
  const complete = weighted.clusters.every(({ weight }) => weight !== undefined)
  if (complete && total === 0)
    report.error(weighted, 'clusters', 'the weights add up to 0; one of them must be more', 'rule')
  if (total > 0xffffffff)
    report.error(weighted, 'clusters', `the weights add up to ${total}; 4294967295 is the most`, 'rule')
}

const retryConditions = new Set(
  (
    '5xx gateway-error reset reset-before-request connect-failure envoy-ratelimited retriable-4xx refused-stream ' +
    'retriable-status-codes retriable-headers http3-post-connect-failure ' +
    'cancelled deadline-exceeded internal resource-exhausted unavailable'
  ).split(' '),
)

function checkRetryPolicy(policy: RetryPolicy | undefined, report: Report): void {
  if (!policy) return
  const backOff = policy.retryBackOff
  if (
    backOff?.maxInterval !== undefined &&
    backOff.baseInterval !== undefined &&
    backOff.maxInterval < backOff.baseInterval
  ) {
    report.error(backOff, 'maxInterval', 'must not be less than base_interval', 'rule')
  }
  for (const condition of policy.retryOn.split(',').map(text => text.trim())) {
    if (condition === '' || retryConditions.has(condition)) continue
    const text = `"${condition}" is no condition and is ignored${didYouMean(condition, retryConditions)}`
    report.warning(policy, 'retryOn', text, 'advice')
  }
}

/** Filters whose own configuration may stand at a route as well. */
const sameAtRoute = new Set([
  'envoy.extensions.filters.http.fault.v3.HTTPFault',
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  'envoy.extensions.filters.http.csrf.v3.CsrfPolicy',
  'envoy.extensions.filters.http.custom_response.v3.CustomResponse',
  'envoy.extensions.filters.http.header_to_metadata.v3.Config',
  'envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder',
  'envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit',
  'envoy.extensions.filters.http.set_filter_state.v3.Config',
  'envoy.extensions.filters.http.set_metadata.v3.Config',
])

function checkPerFilterConfig(configs: ReadonlyMap<string, AnyMessage>, context: RouteContext): void {
  const { filterNames, report } = context
  for (const [name, any] of configs) {
    checkPerRouteType(name, any, report)
    if (!filterNames || filterNames.has(name)) continue
    const hint = didYouMean(
      name,
      [...filterNames].filter(known => !known.startsWith('envoy.extensions.')),
    )
    const text = `no filter of this chain is named "${name}", so its settings change nothing${hint}`
    report.warning(any, undefined, text, 'advice')
  }
}

function checkPerRouteType(name: string, any: AnyMessage, report: Report): void {
  for (const [config, ...perRoute] of Object.values(extensionCategories['envoy.filters.http'] ?? {})) {
    if (any.typeUrl !== config || perRoute.includes(any.typeUrl) || sameAtRoute.has(any.typeUrl)) continue
    const text =
      perRoute.length === 0
        ? `"${name}" takes no settings at a route`
        : `at a route, "${name}" takes ${perRoute.map(type => type.slice(type.lastIndexOf('.') + 1)).join(' or ')}`
    report.error(any, undefined, text, 'extension')
    return
  }
}
