/**
 * `/config_dump` and `/init_dump`.
 *
 * `resource` picks the elements of one repeated field, `mask` (a FieldMask) keeps only the named fields, `name_regex` keeps
 * the resources whose whole name matches. As in Envoy a mask cannot reach through a repeated field, so without `resource`
 * it names fields of the sections themselves, and sections to which it does not fit are left out.
 */
import { Pattern, PatternError } from '../observability/stats-regex.ts'
import { type AdminRequest, type AdminResponse, type Endpoint, json, respond } from './message.ts'
import type { ConfigDumpSection, ConfigDumpType, Json, JsonRecord, ServerControl } from './server-control.ts'

const PREFIX = 'type.googleapis.com/envoy.admin.v3.'
/** Envoy gives these errors without a charset. */
const PLAIN = 'text/plain'

/** A repeated field of a section: the type of its elements and where such an element has its name. */
interface Resource {
  readonly element: string
  /** Fields the element has, for judging a mask. */
  readonly fields: readonly string[]
  name(element: JsonRecord): string
}

interface Section {
  readonly single: readonly string[]
  readonly repeated: Readonly<Record<string, Resource>>
}

const DYNAMIC = ['version_info', 'last_updated', 'error_state', 'client_status']

const SECTIONS: Readonly<Record<ConfigDumpType, Section>> = {
  BootstrapConfigDump: { single: ['bootstrap', 'last_updated'], repeated: {} },
  ClustersConfigDump: {
    single: ['version_info'],
    repeated: {
      static_clusters: wrapping('ClustersConfigDump.StaticCluster', 'cluster', 'name', ['last_updated']),
      dynamic_active_clusters: wrapping('ClustersConfigDump.DynamicCluster', 'cluster', 'name', DYNAMIC),
      dynamic_warming_clusters: wrapping('ClustersConfigDump.DynamicCluster', 'cluster', 'name', DYNAMIC),
    },
  },
  EndpointsConfigDump: {
    single: [],
    repeated: {
      static_endpoint_configs: wrapping('EndpointsConfigDump.StaticEndpointConfig', 'endpoint_config', 'cluster_name', [
        'last_updated',
      ]),
      dynamic_endpoint_configs: wrapping(
        'EndpointsConfigDump.DynamicEndpointConfig',
        'endpoint_config',
        'cluster_name',
        DYNAMIC,
      ),
    },
  },
  ListenersConfigDump: {
    single: ['version_info'],
    repeated: {
      static_listeners: wrapping('ListenersConfigDump.StaticListener', 'listener', 'name', ['last_updated']),
      dynamic_listeners: named('ListenersConfigDump.DynamicListener', [
        'active_state',
        'warming_state',
        'draining_state',
        'error_state',
        'client_status',
      ]),
    },
  },
  ScopedRoutesConfigDump: {
    single: [],
    repeated: {
      inline_scoped_route_configs: named('ScopedRoutesConfigDump.InlineScopedRouteConfigs', [
        'scoped_route_configs',
        'last_updated',
      ]),
      dynamic_scoped_route_configs: named('ScopedRoutesConfigDump.DynamicScopedRouteConfigs', [
        'scoped_route_configs',
        ...DYNAMIC,
      ]),
    },
  },
  RoutesConfigDump: {
    single: [],
    repeated: {
      static_route_configs: wrapping('RoutesConfigDump.StaticRouteConfig', 'route_config', 'name', ['last_updated']),
      dynamic_route_configs: wrapping('RoutesConfigDump.DynamicRouteConfig', 'route_config', 'name', DYNAMIC),
    },
  },
  SecretsConfigDump: {
    single: [],
    repeated: {
      static_secrets: named('SecretsConfigDump.StaticSecret', ['last_updated', 'secret']),
      dynamic_active_secrets: named('SecretsConfigDump.DynamicSecret', ['secret', ...DYNAMIC]),
      dynamic_warming_secrets: named('SecretsConfigDump.DynamicSecret', ['secret', ...DYNAMIC]),
    },
  },
  EcdsConfigDump: {
    single: [],
    repeated: { ecds_filters: wrapping('EcdsConfigDump.EcdsFilterConfig', 'ecds_filter', 'name', DYNAMIC) },
  },
}

export function configDumpEndpoints(control: ServerControl): Endpoint[] {
  return [
    {
      path: '/config_dump',
      help: 'dump current configs',
      params: [
        { name: 'resource', help: 'The resource to dump' },
        { name: 'mask', help: 'The FieldMask to apply: to every element of the resource when that is given too' },
        { name: 'name_regex', help: 'Dump only the currently loaded configurations whose names match the regex' },
        { name: 'include_eds', help: 'Dump currently loaded configuration including EDS', flag: true },
      ],
      handle: request => configDump(control, request),
    },
    {
      path: '/init_dump',
      help: 'dump current init manager information (experimental)',
      params: [{ name: 'mask', help: 'The desired component to dump unready targets, e.g. /init_dump?mask=listener' }],
      handle: ({ query }) => json(control.initDump(query.get('mask') ?? undefined)),
    },
  ]
}

function configDump(control: ServerControl, { query }: AdminRequest): AdminResponse {
  const pattern = namePattern(query.get('name_regex') ?? '')
  if (typeof pattern === 'string') return respond(400, PLAIN, pattern)
  const sections = control.configDump(query.has('include_eds')).map(section => filtered(section, pattern))
  const resource = query.get('resource') ?? ''
  const mask = query.get('mask')
  const paths = mask === null || mask === '' ? undefined : mask.split(',').filter(path => path !== '')
  return resource === '' ? wholeDump(sections, paths, mask ?? '') : resourceDump(sections, resource, paths)
}

function wholeDump(sections: readonly ConfigDumpSection[], paths: readonly string[] | undefined, mask: string) {
  const configs: JsonRecord[] = []
  for (const { type, message } of sections) {
    if (paths !== undefined && !paths.every(path => fitsSection(SECTIONS[type], path))) continue
    configs.push({ '@type': PREFIX + type, ...(paths === undefined ? message : masked(message, paths)) })
  }
  if (configs.length === 0 && paths !== undefined) {
    return respond(400, PLAIN, `FieldMask ${mask} could not be successfully applied to any configs.`)
  }
  return json({ configs })
}

function resourceDump(
  sections: readonly ConfigDumpSection[],
  resource: string,
  paths: readonly string[] | undefined,
): AdminResponse {
  for (const { type, message } of sections) {
    const { single, repeated } = SECTIONS[type]
    if (single.includes(resource)) {
      return respond(400, PLAIN, `${resource} is not a repeated field. Use ?mask=${resource} to get only this field`)
    }
    const kind = repeated[resource]
    if (kind === undefined) continue
    if (paths !== undefined && !paths.every(path => kind.fields.includes(path.split('.')[0]!))) {
      const wrong = paths.map(path => `paths: "${path}"\n`).join('')
      return respond(400, PLAIN, `FieldMask ${wrong} could not be successfully used.`)
    }
    const elements = (message[resource] ?? []) as readonly JsonRecord[]
    const configs = elements.map(element => ({
      '@type': PREFIX + kind.element,
      ...(paths === undefined ? element : masked(element, paths)),
    }))
    return json(configs.length === 0 ? {} : { configs })
  }
  return respond(404, PLAIN, `${resource} not found in config dump`)
}

function filtered({ type, message }: ConfigDumpSection, pattern: Pattern | undefined): ConfigDumpSection {
  if (pattern === undefined) return { type, message }
  const kept: Record<string, Json> = { ...message }
  for (const [field, { name }] of Object.entries(SECTIONS[type].repeated)) {
    const elements = message[field] as readonly JsonRecord[] | undefined
    if (elements === undefined) continue
    const matching = elements.filter(element => pattern.covers(name(element)))
    if (matching.length > 0) kept[field] = matching
    else delete kept[field]
  }
  return { type, message: kept }
}

/** A mask may name a field, or go deeper where the field is not repeated. */
function fitsSection({ single, repeated }: Section, path: string): boolean {
  const [first, ...rest] = path.split('.')
  return single.includes(first!) || (first! in repeated && rest.length === 0)
}

/** The parts of `value` that `paths` name; what an `Any` is, is kept with it. */
function masked(value: JsonRecord, paths: readonly string[]): JsonRecord {
  const out: Record<string, Json> = {}
  for (const [field, content] of Object.entries(value)) {
    if (field === '@type') out[field] = content
    const deeper: string[] = []
    for (const path of paths) {
      if (path === field) deeper.push('')
      else if (path.startsWith(`${field}.`)) deeper.push(path.slice(field.length + 1))
    }
    if (deeper.length === 0) continue
    const inside = content !== null && typeof content === 'object' && !Array.isArray(content)
    out[field] = inside && !deeper.includes('') ? masked(content as JsonRecord, deeper) : content
  }
  return out
}

function namePattern(source: string): Pattern | undefined | string {
  if (source === '') return undefined
  try {
    return new Pattern(source)
  } catch (error) {
    if (error instanceof PatternError) {
      return `INVALID_ARGUMENT: Error while parsing name_regex from ${source}: ${error.message}`
    }
    throw error
  }
}

/** An element that holds its resource as an Any in `field`. */
function wrapping(element: string, field: string, nameField: string, others: readonly string[]): Resource {
  const name = (one: JsonRecord) => {
    const inner = one[field] as JsonRecord | undefined
    const value = inner?.[nameField]
    return typeof value === 'string' ? value : ''
  }
  return { element, fields: [field, ...others], name }
}

function named(element: string, others: readonly string[]): Resource {
  const name = (one: JsonRecord) => (typeof one['name'] === 'string' ? one['name'] : '')
  return { element, fields: ['name', ...others], name }
}
