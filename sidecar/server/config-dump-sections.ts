/** The sections of `/config_dump`, in Envoy's order, with what the protos mark as sensitive redacted. */
import { readFileSync } from 'node:fs'
import type { ConfigDumpSection, JsonRecord } from '../admin/server-control.ts'
import type { ClusterView, HostView } from '../cluster/cluster-view.ts'
import { encodeJson } from '../config/encode-json.ts'
import type {
  Bootstrap,
  HttpConnectionManager,
  Listener,
  MessageTypes,
  RouteConfiguration,
  Secret,
} from '../config/schema/generated/types.ts'
import { HostHealth } from '../upstream/host.ts'

export interface DumpedConfig {
  readonly bootstrap: Bootstrap
  readonly node: JsonRecord
  readonly startedMs: number
  readonly configuredMs: number
  readonly listeners: readonly Listener[]
  /** Where endpoints are asked for (`include_eds`). */
  readonly clusters: readonly ClusterView[] | undefined
  /** Those of the bootstrap, and those that files have delivered. */
  readonly secrets: { readonly fixed: readonly Secret[]; readonly delivered: readonly Secret[] }
}

/** What {@link encodeJson} writes for a text that is secret. */
const REDACTED = '[redacted]'
const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret'
/** In the order in which Envoy lists them. */
const SECRET_KINDS = ['tlsCertificate', 'validationContext', 'sessionTicketKeys'] as const

export function configDumpSections(config: DumpedConfig): ConfigDumpSection[] {
  const { bootstrap, listeners, clusters } = config
  const last_updated = new Date(config.configuredMs).toISOString()
  const sections: ConfigDumpSection[] = [
    {
      type: 'BootstrapConfigDump',
      message: {
        bootstrap: {
          ...(encodeJson('envoy.config.bootstrap.v3.Bootstrap', bootstrap, { redact: true }) as JsonRecord),
          node: config.node,
        },
        last_updated: new Date(config.startedMs).toISOString(),
      },
    },
    {
      type: 'ClustersConfigDump',
      message: list('static_clusters', bootstrap.staticResources?.clusters ?? [], cluster => ({
        cluster: typed('envoy.config.cluster.v3.Cluster', cluster),
        last_updated,
      })),
    },
  ]
  if (clusters !== undefined) {
    sections.push({
      type: 'EndpointsConfigDump',
      message: list('static_endpoint_configs', clusters, cluster => ({ endpoint_config: endpointConfig(cluster) })),
    })
  }
  sections.push(
    {
      type: 'ListenersConfigDump',
      message: list('static_listeners', listeners, listener => ({
        listener: typed('envoy.config.listener.v3.Listener', listener),
        last_updated,
      })),
    },
    { type: 'ScopedRoutesConfigDump', message: {} },
    {
      type: 'RoutesConfigDump',
      message: list('static_route_configs', listeners.flatMap(routeConfigsOf), routes => ({
        route_config: typed('envoy.config.route.v3.RouteConfiguration', routes),
        last_updated,
      })),
    },
    { type: 'SecretsConfigDump', message: secretsDump(config, last_updated) },
  )
  return sections
}

function secretsDump({ secrets }: DumpedConfig, last_updated: string): JsonRecord {
  const fixed = SECRET_KINDS.flatMap(kind => secrets.fixed.filter(secret => secret[kind] !== undefined))
  return {
    ...list('static_secrets', fixed, secret => ({ name: secret.name, secret: typed(SECRET, secret) })),
    ...list('dynamic_active_secrets', secrets.delivered, secret => ({
      name: secret.name,
      last_updated,
      secret: withFileContents(typed(SECRET, secret)) as JsonRecord,
    })),
  }
}

/** Envoy reads the files of a secret that is delivered, and shows their bytes, redacted like others. */
function withFileContents(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withFileContents)
  if (typeof value !== 'object' || value === null) return value
  const { filename, ...fields } = value as { readonly filename?: string }
  const others = Object.entries(fields).map(([name, inner]) => [name, withFileContents(inner)] as const)
  const bytes = filename === undefined ? undefined : filename === REDACTED ? REDACTED : fileContent(filename)
  const own = bytes === undefined ? { filename } : { inline_bytes: Buffer.from(bytes).toString('base64') }
  return { ...(filename !== undefined && own), ...Object.fromEntries(others) }
}

function fileContent(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}

/** A repeated field that is empty is left out, as proto JSON does. */
function list<T>(name: string, values: readonly T[], encode: (value: T) => JsonRecord): JsonRecord {
  return values.length === 0 ? {} : { [name]: values.map(encode) }
}

function typed<Name extends keyof MessageTypes>(typeName: Name, message: MessageTypes[Name]): JsonRecord {
  return {
    '@type': `type.googleapis.com/${typeName}`,
    ...(encodeJson(typeName, message, { redact: true }) as JsonRecord),
  }
}

function routeConfigsOf(listener: Listener): RouteConfiguration[] {
  const chains = [...listener.filterChains, ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : [])]
  return chains.flatMap(({ filters }) =>
    filters.flatMap(({ typedConfig }) => {
      if (typedConfig?.typeUrl !== MANAGER) return []
      const { routeConfig } = typedConfig.value as HttpConnectionManager
      return routeConfig === undefined ? [] : [routeConfig]
    }),
  )
}

/** The hosts as they are now, by priority and locality. */
function endpointConfig(cluster: ClusterView): JsonRecord {
  const localities = Map.groupBy(cluster.hosts, ({ priority, region, zone, subZone }) =>
    JSON.stringify([priority, region, zone, subZone]),
  )
  const groups = [...localities.values()].sort((one, other) => one[0]!.priority - other[0]!.priority)
  return {
    '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
    cluster_name: cluster.name,
    ...list('endpoints', groups, hosts => {
      const { region, zone, subZone, localityWeight, priority } = hosts[0]!
      return {
        locality: {
          ...(region !== '' && { region }),
          ...(zone !== '' && { zone }),
          ...(subZone !== '' && { sub_zone: subZone }),
        },
        lb_endpoints: hosts.map(endpoint),
        load_balancing_weight: localityWeight,
        ...(priority > 0 && { priority }),
      }
    }),
    policy: { overprovisioning_factor: cluster.overprovisioningFactor },
  }
}

function endpoint(host: HostView): JsonRecord {
  return {
    endpoint: {
      address: host.ip.startsWith('/')
        ? { pipe: { path: host.ip } }
        : { socket_address: { address: host.ip, port_value: host.port } },
      health_check_config: {},
      ...(host.hostname !== '' && { hostname: host.hostname }),
    },
    health_status: healthStatus(host.health),
    ...(host.metadata && { metadata: encodeJson('envoy.config.core.v3.Metadata', host.metadata) }),
    load_balancing_weight: host.weight,
  }
}

function healthStatus(health: number): string {
  if ((health & ~HostHealth.Degraded) !== 0) return 'UNHEALTHY'
  return health === 0 ? 'HEALTHY' : 'DEGRADED'
}
