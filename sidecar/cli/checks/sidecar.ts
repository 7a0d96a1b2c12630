/** Of a running sidecar, by what its admin listener tells: is it ready, are its clusters well, do failures find their names. */
import type { SidecarView } from '../../admin/mesh-view.ts'
import type { ClusterDetails, CollectorState } from '../../admin/server-control.ts'
import { CidrSet, parseCidr } from '../../base/cidr.ts'
import { PRIVATE_RANGES } from '../../failure-origin/settings.ts'
import type { AdminClient } from '../admin-client.ts'
import { CommandError } from '../command.ts'
import { type Check, Checks } from './check.ts'

const SKEW_MS = 1000
const DAY_MS = 86_400_000
const SOON_DAYS = 30
/** Names listed in one line; the rest is a number. */
const MAX_NAMES = 5

interface CertificateJson {
  readonly path: string
  readonly valid_from: string
  readonly expiration_time: string
}

export async function checkSidecar(admin: AdminClient): Promise<Check[]> {
  const sidecar = new Checks(`sidecar ${admin.address}`)
  let part: { readonly sidecar: SidecarView }
  const before = Date.now()
  try {
    part = await admin.json('/mesh/part')
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    sidecar.error(
      'sidecar.reachable',
      error.message,
      'start it (hopwise run -c FILE), say where its admin listener is (--admin HOST:PORT), or ask none (--offline)',
    )
    return sidecar.all
  }
  const view = part.sidecar
  sidecar.ok('sidecar.reachable', `${view.service} answers (Hopwise ${view.version}, up ${age(view.uptimeMs)})`)
  const ready = await admin.status('/ready')
  if (ready.status === 200) sidecar.ok('sidecar.ready', 'it is ready')
  else {
    sidecar.error(
      'sidecar.ready',
      `it is not ready: ${ready.text.trim()}`,
      ready.text.includes('DRAINING')
        ? 'it is ending, or somebody said /healthcheck/fail; /healthcheck/ok takes that back'
        : 'it waits for hosts of its clusters or for its listeners: hopwise config endpoints, and its log',
    )
  }
  checkClock(view.at, before, Date.now(), sidecar)
  const [clusters, stats, certificates, collectors, config] = await Promise.all([
    admin.json<{ clusters: ClusterDetails[] }>('/mesh/clusters'),
    statsOf(admin),
    admin.json<{ certificates: { ca_cert?: CertificateJson[]; cert_chain?: CertificateJson[] }[] }>('/certs'),
    admin.json<{ collectors: CollectorState[] }>('/mesh/collectors'),
    admin.json<{ node: { metadata?: unknown } }>('/server_info'),
  ])
  checkReloads(stats, sidecar)
  return [
    ...sidecar.all,
    ...checkClusters(clusters.clusters),
    ...checkCertificates(certificates.certificates),
    ...checkLocation(view, clusters.clusters, stats, trustedPeersOf(config.node.metadata)),
    ...checkCollectors(collectors.collectors, stats),
  ]
}

/** Counters and gauges by name, those of ours with their labels added up. */
async function statsOf(admin: AdminClient): Promise<ReadonlyMap<string, number>> {
  const text = await admin.text('/stats/prometheus')
  const stats = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^(\w+)(?:\{.*\})? (-?[\d.e+-]+)$/.exec(line)
    if (match !== null) stats.set(match[1]!, (stats.get(match[1]!) ?? 0) + Number(match[2]))
  }
  return stats
}

function checkClock(at: number, before: number, after: number, checks: Checks): void {
  const skew = at < before ? before - at : Math.max(0, at - after)
  if (skew < SKEW_MS) checks.ok('sidecar.clock', 'its clock agrees with the one here')
  else {
    checks.warning(
      'sidecar.clock',
      `its clock is ${age(skew)} ${at < before ? 'behind' : 'before'} the one here`,
      'let both follow NTP: times of spans and failures of several machines are put in order by it',
    )
  }
}

function checkReloads(stats: ReadonlyMap<string, number>, checks: Checks): void {
  const failed = stats.get('envoy_server_config_reload_failure') ?? 0
  const done = stats.get('envoy_server_config_reload_success') ?? 0
  if (failed === 0) checks.ok('sidecar.reloads', `its configuration was read again ${done} times, without a mistake`)
  else {
    checks.warning(
      'sidecar.reloads',
      `${failed} reloads were refused (${done} were not), so what runs may not be what the file says`,
      'hopwise validate FILE says what is wrong; the log has it too',
    )
  }
}

function checkClusters(clusters: readonly ClusterDetails[]): Check[] {
  const checks = new Checks('clusters')
  let well = 0
  for (const cluster of clusters) {
    const before = checks.all.length
    checkHosts(cluster, checks)
    for (const warning of cluster.warnings) {
      const [text = '', ...hint] = warning.split(/; (?=set )/)
      checks.warning('clusters.outlier', text, hint.join('; '))
    }
    checkLimits(cluster, checks)
    if (checks.all.length === before) well++
  }
  if (well > 0)
    checks.ok('clusters.well', `${well} of ${clusters.length} clusters: all hosts healthy, no limit reached`)
  if (clusters.length === 0) checks.ok('clusters.well', 'there are none')
  return checks.all
}

function checkHosts({ name, hosts, discoveryFailure, type }: ClusterDetails, checks: Checks): void {
  if (hosts.length === 0) {
    const why = discoveryFailure === '' ? '' : `: ${discoveryFailure}`
    const hint = type.includes('DNS') ? 'look its name up from where the sidecar runs' : 'give it endpoints'
    checks.error('clusters.hosts', `${name} has no hosts${why}`, hint)
    return
  }
  if (discoveryFailure !== '') {
    checks.warning('clusters.discovery', `${name}: ${discoveryFailure}; it keeps the hosts it had`, 'look its name up')
  }
  const ill = hosts.filter(({ health }) => health !== 'healthy' && health !== 'degraded')
  if (ill.length === 0) return
  const listed = ill.slice(0, MAX_NAMES).map(({ address, health, lastFailure }) => {
    return `${address} ${health}${lastFailure === '' ? '' : ` (${lastFailure})`}`
  })
  const text = `${name}: ${ill.length} of ${hosts.length} hosts take no requests: ${andMore(listed, ill.length)}`
  const hint = `hopwise failures --cause no_healthy, and hopwise config endpoints ${name}`
  if (ill.length === hosts.length) checks.error('clusters.hosts', text, hint)
  else checks.warning('clusters.hosts', text, hint)
}

function checkLimits({ name, limits }: ClusterDetails, checks: Checks): void {
  for (const { name: what, inUse, max, refused } of limits) {
    // A limit of none is meant so, until it refuses something.
    if (inUse >= max && inUse > 0) {
      checks.warning(
        'clusters.breaker',
        `${name}: its circuit breaker is open, ${inUse} of ${max} ${what} are in use`,
        `what comes beyond gets 503 (UO); raise circuit_breakers.thresholds of ${name}, or find out what is slow`,
      )
    } else if (refused > 0) {
      checks.warning(
        'clusters.breaker',
        `${name}: ${refused} times since the start all ${max} ${what} were in use`,
        `if that was too early, raise circuit_breakers.thresholds of ${name}`,
      )
    }
  }
}

function checkCertificates(
  certificates: readonly { ca_cert?: CertificateJson[]; cert_chain?: CertificateJson[] }[],
): Check[] {
  const checks = new Checks('certificates')
  const all = new Map<string, CertificateJson>()
  for (const { ca_cert = [], cert_chain = [] } of certificates) {
    for (const one of [...ca_cert, ...cert_chain]) all.set(JSON.stringify(one), one)
  }
  let first = Number.POSITIVE_INFINITY
  for (const { path, valid_from, expiration_time } of all.values()) {
    const left = Date.parse(expiration_time) - Date.now()
    first = Math.min(first, left)
    if (left <= 0) {
      checks.error(
        'certificates.expiry',
        `${path} expired ${age(-left)} ago`,
        'renew it; the file is read again by itself',
      )
    } else if (Date.parse(valid_from) > Date.now()) {
      checks.error('certificates.start', `${path} is not valid before ${valid_from}`, 'look at the clocks')
    } else if (left < SOON_DAYS * DAY_MS) {
      checks.warning(
        'certificates.expiry',
        `${path} expires in ${age(left)}`,
        'renew it; the file is read again by itself',
      )
    }
  }
  if (all.size === 0) checks.ok('certificates.expiry', 'none are in use')
  else if (checks.all.length === 0)
    checks.ok('certificates.expiry', `${all.size} in use; the first expires in ${age(first)}`)
  return checks.all
}

function checkLocation(
  view: SidecarView,
  clusters: readonly ClusterDetails[],
  stats: ReadonlyMap<string, number>,
  trusted: readonly string[],
): Check[] {
  const checks = new Checks('failure location')
  for (const { service, name } of view.otherNames) {
    checks.warning(
      'location.names',
      `what ${view.service} calls ${service} calls itself ${name}: one service has two names in records and metrics`,
      `give the cluster metadata {filter_metadata: {hopwise: {service: ${name}}}}, or that sidecar node.cluster ${service}`,
    )
  }
  if (view.otherNames.length === 0) checks.ok('location.names', 'no service is known to have two names')
  checkTrustedHosts(clusters, trusted, checks)
  const missing = stats.get('hopwise_trace_context_missing_total') ?? 0
  const calls = view.calls.reduce((sum, { total }) => sum + total, 0)
  if (missing > 0 && calls > 0) {
    checks.warning(
      'location.headers',
      `${missing} of ${calls} calls came without trace headers: the application copies none from its requests`,
      'failures are matched by time instead (unique, likely); copying traceparent, b3 or x-request-id makes them exact',
    )
  } else checks.ok('location.headers', 'no call came without trace headers')
  const overflow = stats.get('hopwise_failure_ledger_overflow_total') ?? 0
  if (overflow > 0) {
    checks.warning(
      'location.ledger',
      `${overflow} requests or calls were not followed, because a limit was reached`,
      'hopwise_failure_ledger_overflow_total says which; failures among them are named without their path',
    )
  } else checks.ok('location.ledger', 'every request was followed')
  return checks.all
}

/** Hosts of the mesh in plaintext whose records are not believed: what they say is dropped. */
function checkTrustedHosts(clusters: readonly ClusterDetails[], trusted: readonly string[], checks: Checks): void {
  const ranges = new CidrSet(trusted.map(range => parseCidr(range)).filter(range => range !== undefined))
  const strangers = clusters
    .filter(({ external, tls }) => !external && !tls)
    .flatMap(({ name, hosts }) => hosts.map(({ address }) => ({ name, address, ip: ipOf(address) })))
    .filter(({ ip }) => ip !== '' && !ranges.has(ip))
  if (strangers.length === 0) {
    checks.ok('location.trust', 'records are believed of every host in plaintext that is not marked external')
    return
  }
  const listed = strangers.slice(0, MAX_NAMES).map(({ name, address }) => `${address} of ${name}`)
  checks.warning(
    'location.trust',
    `what these say of failures is not believed, because trusted_peers does not name them: ${andMore(listed, strangers.length)}`,
    'add their ranges to node.metadata.hopwise.trusted_peers, or mark the clusters hopwise.external: true',
  )
}

function trustedPeersOf(metadata: unknown): readonly string[] {
  const own = (metadata as { hopwise?: { trusted_peers?: unknown }; filter_metadata?: { hopwise?: object } }) ?? {}
  const settings = (own.hopwise ?? own.filter_metadata?.hopwise) as { trusted_peers?: unknown } | undefined
  const peers = settings?.trusted_peers
  if (typeof peers === 'string') return [peers]
  return Array.isArray(peers) ? peers.filter(peer => typeof peer === 'string') : PRIVATE_RANGES
}

function checkCollectors(collectors: readonly CollectorState[], stats: ReadonlyMap<string, number>): Check[] {
  const checks = new Checks('tracing')
  if (collectors.length === 0) {
    checks.ok('tracing.collector', 'no collector is configured')
    return checks.all
  }
  for (const { kind, cluster, failure } of collectors) {
    if (failure === '') checks.ok('tracing.collector', `the ${kind} collector answers (cluster ${cluster})`)
    else {
      checks.error(
        'tracing.collector',
        `the ${kind} collector does not answer (cluster ${cluster}): ${failure}`,
        'requests are not harmed; spans are dropped until it does. Look at its address and whether it runs',
      )
    }
  }
  let dropped = 0
  for (const [name, value] of stats)
    if (/^envoy_tracing_\w+_(spans_dropped|reports_dropped|reports_failed)$/.test(name)) dropped += value
  if (dropped > 0) {
    checks.warning(
      'tracing.dropped',
      `${dropped} spans or reports were lost since the start`,
      'the collector was away, or is too slow for so many: sample less (random_sampling), or give it more room',
    )
  } else checks.ok('tracing.dropped', 'nothing was lost since the start')
  return checks.all
}

function ipOf(address: string): string {
  const match = /^(?:\[([^\]]+)\]|([\d.]+)):\d+$/.exec(address)
  return match?.[1] ?? match?.[2] ?? ''
}

function andMore(listed: readonly string[], all: number): string {
  return `${listed.join(', ')}${all > listed.length ? ` and ${all - listed.length} more` : ''}`
}

function age(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} days`
  if (ms >= 7_200_000) return `${Math.floor(ms / 3_600_000)} hours`
  if (ms >= 120_000) return `${Math.floor(ms / 60_000)} minutes`
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}
