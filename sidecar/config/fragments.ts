/**
 * Pieces of a configuration given as if they were whole: the tutorials that people learn from print clusters here and a
 * route_config there. The error says where each piece belongs, and the piece is decoded by itself, so that its own
 * mistakes show too.
 */
import type { Problems } from './problems.ts'
import { schema } from './schema/table.ts'
import type { SourceDocument } from './source.ts'
import type { ConfigNode, MapEntry, MapNode } from './tree.ts'

export interface Fragment {
  /** The message that the piece is a field of. */
  readonly owner: string
  readonly entry: MapEntry
}

export interface FragmentCheck {
  /** The file without its stray pieces. */
  readonly root: ConfigNode
  readonly fragments: readonly Fragment[]
}

const manager = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const staticResources = 'envoy.config.bootstrap.v3.Bootstrap.StaticResources'
const cluster = 'envoy.config.cluster.v3.Cluster'
const inCluster = { where: 'a cluster', owner: cluster } as const
const inManager = { where: 'the typed_config of an http_connection_manager filter', owner: manager } as const
const inResources = { where: 'static_resources', owner: staticResources } as const

/** Where a key that stands at the top of a file belongs. */
const homes: Readonly<Record<string, { readonly where: string; readonly owner: string }>> = {
  clusters: inResources,
  listeners: inResources,
  route_config: inManager,
  http_filters: inManager,
  virtual_hosts: { where: 'route_config', owner: 'envoy.config.route.v3.RouteConfiguration' },
  routes: { where: 'a virtual host', owner: 'envoy.config.route.v3.VirtualHost' },
  retry_policy: { where: 'a route action ("route:")', owner: 'envoy.config.route.v3.RouteAction' },
  filter_chains: { where: 'a listener', owner: 'envoy.config.listener.v3.Listener' },
  load_assignment: inCluster,
  circuit_breakers: inCluster,
  outlier_detection: inCluster,
  health_checks: inCluster,
  lb_policy: inCluster,
  connect_timeout: inCluster,
}

export function checkFragment(root: ConfigNode, document: SourceDocument, problems: Problems): FragmentCheck {
  if (root.kind !== 'map') return { root, fragments: [] }
  const hasResources = root.entries.some(({ key }) => /^(?:static|dynamic)(?:_r|R)esources$/.test(key))
  const stray = root.entries.filter(({ key }) => homes[key] !== undefined)
  const clusterName = stray.some(({ key }) => homes[key] === inCluster)
    ? root.entries.find(({ key }) => key === 'cluster_name')
    : undefined
  for (const entry of stray) {
    const { where } = homes[entry.key]!
    const message = hasResources
      ? `belongs under ${where}; check the indentation`
      : `this is a fragment, not a whole bootstrap: "${entry.key}" belongs under ${where}`
    problems.error({ document, offset: entry.keyOffset, path: entry.key }, 'fragment', message)
  }
  if (clusterName) {
    const message = 'belongs under a cluster too, where it is called "name"'
    problems.error({ document, offset: clusterName.keyOffset, path: clusterName.key }, 'fragment', message)
  }
  if (stray.length === 0) warnOfEmpty(root, hasResources, document, problems)
  const rest = root.entries.filter(entry => entry !== clusterName && !stray.includes(entry))
  return {
    root: { ...root, entries: rest },
    fragments: stray.map(entry => ({ owner: homes[entry.key]!.owner, entry })),
  }
}

/** `admin:` alone is a bootstrap that serves nothing: valid, and hardly what was meant. */
function warnOfEmpty(root: MapNode, hasResources: boolean, document: SourceDocument, problems: Problems): void {
  const bootstrap = schema().message('envoy.config.bootstrap.v3.Bootstrap')!
  if (hasResources || root.entries.length === 0 || !root.entries.every(({ key }) => bootstrap.field(key))) return
  const message = 'nothing would listen here: there are no static_resources; a fragment goes into a whole bootstrap'
  problems.warning({ document, offset: root.offset, path: '' }, 'fragment', message)
}
