/**
 * Values that the schema calls strings and that mean more: regular expressions, address ranges, names of clusters that
 * spans and calls go to, and Hopwise's own settings in metadata. One walk over everything.
 */
import { isIP } from 'node:net'
import { parseCidr } from '../../base/cidr.ts'
import { requirePackage } from '../../base/package-root.ts'
import { didYouMean } from '../../base/suggest.ts'
import { checkHopwiseSettings, nodeSettings, type SettingScope } from '../hopwise-metadata.ts'
import type {
  Admin,
  CidrRange,
  GrpcService_EnvoyGrpc,
  HttpUri,
  Metadata,
  Node,
  RegexMatcher,
  ZipkinConfig,
} from '../schema/generated/types.ts'
import type { MessageDescriptor } from '../schema/table.ts'
import type { Report } from './report.ts'
import { type Visited, walkMessages } from './walk.ts'

export interface ValueContext {
  readonly clusterNames: ReadonlySet<string> | undefined
  readonly report: Report
}

export function checkValues(descriptor: MessageDescriptor, root: object, context: ValueContext): void {
  walkMessages(descriptor, root, visited => checks[visited.typeName]?.(visited, context))
}

const checks: Readonly<Record<string, (visited: Visited, context: ValueContext) => void>> = {
  'envoy.type.matcher.v3.RegexMatcher': ({ message }, { report }) => checkRegex(message as RegexMatcher, report),
  'xds.type.matcher.v3.RegexMatcher': ({ message }, { report }) => checkRegex(message as RegexMatcher, report),
  'envoy.config.core.v3.CidrRange': ({ message }, { report }) => checkCidr(message as CidrRange, report),
  'envoy.config.core.v3.Metadata': checkMetadata,
  'xds.core.v3.CidrRange': ({ message }, { report }) => checkCidr(message as CidrRange, report),
  'envoy.config.core.v3.Node': ({ message }, { report }) => {
    checkHopwiseSettings(nodeSettings((message as Node).metadata), 'node', settingReporter(message, 'metadata', report))
  },
  'envoy.config.bootstrap.v3.Admin': ({ message }, { report }) => {
    const socket = (message as Admin).address?.socketAddress
    if (socket && isIP(socket.address) === 0) {
      report.error(socket, 'address', `"${socket.address}" is no IP address, which the admin listener needs`, 'rule')
    }
  },
  'envoy.config.trace.v3.ZipkinConfig': ({ message }, context) => {
    const zipkin = message as ZipkinConfig
    if (zipkin.collectorCluster !== '')
      checkCluster(zipkin, 'collectorCluster', zipkin.collectorCluster, context, 'error')
  },
  'envoy.config.core.v3.HttpUri': ({ message }, context) => {
    const { cluster } = message as HttpUri
    // Envoy finds out when it first calls; there is no reason to wait that long.
    if (cluster !== undefined) checkCluster(message, 'cluster', cluster, context, 'warning')
  },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': ({ message }, context) => {
    checkCluster(message, 'clusterName', (message as GrpcService_EnvoyGrpc).clusterName, context, 'warning')
  },
}

function checkCluster(
  owner: object,
  field: string,
  name: string,
  { clusterNames, report }: ValueContext,
  severity: 'error' | 'warning',
): void {
  if (!clusterNames || clusterNames.has(name)) return
  report[severity](owner, field, `unknown cluster "${name}"${didYouMean(name, clusterNames)}`)
}

function checkCidr(range: CidrRange, report: Report): void {
  // Envoy caps a length beyond the address's own, so only the address can be wrong.
  if (parseCidr(range.addressPrefix) !== undefined && !range.addressPrefix.includes('/')) return
  const cure = range.addressPrefix.includes('/') ? '; its length goes into prefix_len' : ''
  report.error(range, 'addressPrefix', `"${range.addressPrefix}" is no IP address${cure}`, 'rule')
}

/** Anything without a special character is a regular expression in every dialect; `re2js` (7.5 MB) can wait. */
const plainText = /^[\w/ :=@,;!<>~#%&"'-]*$/

function checkRegex(matcher: RegexMatcher, report: Report): void {
  if (plainText.test(matcher.regex)) return
  const { RE2JS } = requirePackage('re2js') as typeof import('re2js')
  try {
    RE2JS.compile(matcher.regex)
  } catch (error) {
    const reason = (error as Error).message.replace('error parsing regexp: ', '')
    const hint = /\(\?[=!<]/.test(matcher.regex) ? ' (RE2 has no lookahead and no lookbehind)' : ''
    report.error(matcher, 'regex', `is no valid RE2 expression: ${reason}${hint}`, 'rule')
  }
}

const scopes: Readonly<Record<string, SettingScope>> = {
  'envoy.config.listener.v3.Listener': 'listener',
  'envoy.config.listener.v3.FilterChain': 'listener',
  'envoy.config.cluster.v3.Cluster': 'cluster',
  'envoy.config.endpoint.v3.LocalityLbEndpoints': 'endpoint',
  'envoy.config.endpoint.v3.LbEndpoint': 'endpoint',
  'envoy.config.route.v3.RouteConfiguration': 'route',
  'envoy.config.route.v3.VirtualHost': 'route',
  'envoy.config.route.v3.Route': 'route',
}

function checkMetadata({ message, parent }: Visited, { report }: ValueContext): void {
  const settings = (message as Metadata).filterMetadata.get('hopwise')
  const scope = parent && scopes[parent.typeName]
  if (settings === undefined || !scope) return
  checkHopwiseSettings(settings, scope, settingReporter(message, 'filterMetadata', report))
}

function settingReporter(owner: object, field: string, report: Report): (name: string, text: string) => void {
  return (name, text) => report.error(owner, field, `hopwise${name === '' ? '' : `.${name}`} ${text}`, 'rule')
}
