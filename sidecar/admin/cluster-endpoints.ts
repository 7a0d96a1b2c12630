/** `/clusters` and `/listeners`: what is configured and how it fares, as text and as proto JSON. */
import { addressText } from '../base/address.ts'
import { Pattern, PatternError } from '../observability/stats-regex.ts'
import { type AdminRequest, type AdminResponse, type Endpoint, json, text } from './message.ts'
import type {
  ClusterView,
  HostHealthView,
  HostView,
  ServerControl,
  SocketAddressView,
  ThresholdsView,
} from './server-control.ts'

export function clusterEndpoints(control: ServerControl): Endpoint[] {
  return [
    {
      path: '/clusters',
      help: 'upstream cluster status',
      params: [
        { name: 'filter', help: 'Regular expression (Google re2) for filtering clusters by name' },
        { name: 'format', help: 'File format to use', choices: ['text', 'json'] },
      ],
      handle: request => clusters(control, request),
    },
    {
      path: '/listeners',
      help: 'print listener info',
      params: [{ name: 'format', help: 'File format to use', choices: ['text', 'json'] }],
      handle: ({ query }) => (query.get('format') === 'json' ? listenersJson(control) : listenersText(control)),
    },
  ]
}

async function clusters(control: ServerControl, { query }: AdminRequest): Promise<AdminResponse> {
  let views = await control.clusters()
  const filter = query.get('filter')
  if (filter !== null && filter !== '') {
    try {
      const pattern = new Pattern(filter)
      views = views.filter(view => pattern.found(view.name))
    } catch (error) {
      if (error instanceof PatternError) return text('Invalid re2 regex', 400)
      throw error
    }
  }
  if (query.get('format') === 'json') return json({ cluster_statuses: views.map(clusterJson) })
  return text(views.map(clusterText).join(''))
}

function clusterText(view: ClusterView): string {
  const lines: string[] = [`observability_name::${view.observabilityName}`]
  const { outlier } = view
  if (outlier !== undefined) {
    lines.push(
      `outlier::success_rate_average::${outlier.successRateAverage}`,
      `outlier::success_rate_ejection_threshold::${outlier.successRateEjectionThreshold}`,
      `outlier::local_origin_success_rate_average::${outlier.localOriginSuccessRateAverage}`,
      `outlier::local_origin_success_rate_ejection_threshold::${outlier.localOriginSuccessRateEjectionThreshold}`,
    )
  }
  for (const [name, value] of thresholds(view.defaultPriority)) lines.push(`default_priority::${name}::${value}`)
  for (const [name, value] of thresholds(view.highPriority)) lines.push(`high_priority::${name}::${value}`)
  lines.push(`added_via_api::${view.addedViaApi}`)
  if (view.edsServiceName !== '') lines.push(`eds_service_name::${view.edsServiceName}`)
  for (const host of view.hosts) lines.push(...hostLines(host))
  return lines.map(line => `${view.name}::${line}\n`).join('')
}

function hostLines(host: HostView): string[] {
  const { counters } = host
  const rows: [name: string, value: string | number | boolean][] = [
    ['cx_active', counters.cxActive],
    ['cx_connect_fail', counters.cxConnectFail],
    ['cx_total', counters.cxTotal],
    ['rq_active', counters.rqActive],
    ['rq_error', counters.rqError],
    ['rq_pending_active', counters.rqPendingActive],
    ['rq_success', counters.rqSuccess],
    ['rq_timeout', counters.rqTimeout],
    ['rq_total', counters.rqTotal],
    ['hostname', host.hostname],
    ['health_flags', healthFlags(host.health)],
    ['weight', host.weight],
    ['region', host.region],
    ['zone', host.zone],
    ['sub_zone', host.subZone],
    ['canary', host.canary],
    ['priority', host.priority],
    ['success_rate', host.successRate],
    ['local_origin_success_rate', host.localOriginSuccessRate],
  ]
  const address = addressText(host.address)
  return rows.map(([name, value]) => `${address}::${name}::${value}`)
}

/** Envoy's order and names (`HealthFlag`), joined; `healthy` when no flag is set. */
function healthFlags(health: HostHealthView): string {
  const flags = [
    health.failedActiveHealthCheck && '/failed_active_hc',
    health.failedOutlierCheck && '/failed_outlier_check',
    health.failedEds && '/failed_eds_health',
    health.degradedActive && '/degraded_active_hc',
    health.degradedEds && '/degraded_eds_health',
    health.pendingDynamicRemoval && '/pending_dynamic_removal',
    health.pendingActive && '/pending_active_hc',
    health.excludedViaImmediateHealthCheckFail && '/excluded_via_immediate_hc_fail',
    health.activeHealthCheckTimeout && '/active_hc_timeout',
    health.draining && '/eds_status_draining',
  ]
  return flags.filter(Boolean).join('') || 'healthy'
}

function clusterJson(view: ClusterView) {
  const { outlier } = view
  return {
    name: view.name,
    ...(view.addedViaApi ? { added_via_api: true } : {}),
    ...percent('success_rate_ejection_threshold', outlier?.successRateEjectionThreshold),
    ...(view.hosts.length > 0 ? { host_statuses: view.hosts.map(hostJson) } : {}),
    ...percent('local_origin_success_rate_ejection_threshold', outlier?.localOriginSuccessRateEjectionThreshold),
    circuit_breakers: {
      thresholds: [
        Object.fromEntries(thresholds(view.defaultPriority)),
        { priority: 'HIGH', ...Object.fromEntries(thresholds(view.highPriority)) },
      ],
    },
    observability_name: view.observabilityName,
    ...(view.edsServiceName !== '' ? { eds_service_name: view.edsServiceName } : {}),
  }
}

function hostJson(host: HostView) {
  const { counters, health } = host
  return {
    address: addressJson(host.address),
    stats: [
      counter('cx_connect_fail', counters.cxConnectFail),
      counter('cx_total', counters.cxTotal),
      counter('rq_error', counters.rqError),
      counter('rq_success', counters.rqSuccess),
      counter('rq_timeout', counters.rqTimeout),
      counter('rq_total', counters.rqTotal),
      gauge('cx_active', counters.cxActive),
      gauge('rq_active', counters.rqActive),
      gauge('rq_pending_active', counters.rqPendingActive),
    ],
    health_status: {
      ...(health.failedActiveHealthCheck ? { failed_active_health_check: true } : {}),
      ...(health.failedOutlierCheck ? { failed_outlier_check: true } : {}),
      ...(health.edsStatus === 'UNKNOWN' ? {} : { eds_health_status: health.edsStatus }),
      ...(health.degradedActive ? { failed_active_degraded_check: true } : {}),
      ...(health.pendingDynamicRemoval ? { pending_dynamic_removal: true } : {}),
      ...(health.pendingActive ? { pending_active_hc: true } : {}),
      ...(health.excludedViaImmediateHealthCheckFail ? { excluded_via_immediate_hc_fail: true } : {}),
      ...(health.activeHealthCheckTimeout ? { active_hc_timeout: true } : {}),
    },
    ...percent('success_rate', host.successRate),
    weight: host.weight,
    ...(host.hostname !== '' ? { hostname: host.hostname } : {}),
    ...(host.priority !== 0 ? { priority: host.priority } : {}),
    ...percent('local_origin_success_rate', host.localOriginSuccessRate),
    locality: {
      ...(host.region !== '' ? { region: host.region } : {}),
      ...(host.zone !== '' ? { zone: host.zone } : {}),
      ...(host.subZone !== '' ? { sub_zone: host.subZone } : {}),
    },
  }
}

// Proto JSON leaves out what is at its default: a value of 0, the type COUNTER; 64-bit values are texts.

function counter(name: string, value: number) {
  return value === 0 ? { name } : { value: String(value), name }
}

function gauge(name: string, value: number) {
  return value === 0 ? { type: 'GAUGE', name } : { type: 'GAUGE', value: String(value), name }
}

/** Nothing while a rate is not known (-1). */
function percent(name: string, value: number | undefined) {
  if (value === undefined || value < 0) return {}
  return { [name]: value === 0 ? {} : { value } }
}

function thresholds(view: ThresholdsView): [name: string, value: number][] {
  return [
    ['max_connections', view.maxConnections],
    ['max_pending_requests', view.maxPendingRequests],
    ['max_requests', view.maxRequests],
    ['max_retries', view.maxRetries],
  ]
}

function listenersText(control: ServerControl): AdminResponse {
  let out = ''
  for (const { name, local, additional = [] } of control.listeners()) {
    for (const address of [local, ...additional]) out += `${name}::${addressText(address)}\n`
  }
  return text(out)
}

function listenersJson(control: ServerControl): AdminResponse {
  return json({
    listener_statuses: control.listeners().map(({ name, local, additional = [] }) => ({
      name,
      local_address: addressJson(local),
      ...(additional.length > 0 ? { additional_local_addresses: additional.map(addressJson) } : {}),
    })),
  })
}

function addressJson({ ip, port }: SocketAddressView) {
  if (ip.startsWith('/') || ip.startsWith('@')) return { pipe: { path: ip } }
  return { socket_address: { address: ip, port_value: port } }
}
