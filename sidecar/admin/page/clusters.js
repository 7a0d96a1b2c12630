/** A sidecar's clusters: hosts with their health, how much of each limit of the circuit breaker is taken; its rate limits. */
import { ageText, element, rateText, svg, table } from './elements.js'

const HEALTH = {
  healthy: '● healthy',
  degraded: '◐ degraded',
  failing: '✗ fails its health checks',
  ejected: '✗ ejected as an outlier',
  unhealthy: '✗ unhealthy, says discovery',
}

export function clusterCards(clusters, now) {
  if (clusters.length === 0) return element('p', { class: 'quiet' }, 'There are none.')
  return element('div', { class: 'grid' }, ...clusters.map(cluster => card(cluster, now)))
}

function card({ name, service, external, type, lbPolicy, tls, discoveryFailure, limits, warnings, hosts }, now) {
  const ill = hosts.filter(({ health }) => health !== 'healthy' && health !== 'degraded').length
  const facts = [
    type,
    lbPolicy
      .replace(/^envoy\.load_balancing_policies\./, '')
      .toLowerCase()
      .replaceAll('_', ' '),
  ]
  if (tls) facts.push('TLS')
  if (external) facts.push('outside the mesh')
  if (service !== name) facts.push(`service ${service}`)
  const notes = [...warnings]
  if (discoveryFailure !== '') notes.push(`discovery: ${discoveryFailure}`)
  return element(
    'article',
    { class: 'cluster', 'data-key': name, 'data-cluster': name, 'data-ill': ill > 0 || hosts.length === 0 },
    element('h3', {}, name),
    element('p', { class: 'quiet' }, facts.join(' · ')),
    ...notes.map(note => element('p', { class: 'note' }, `‼ ${note}`)),
    limitList(limits),
    hosts.length === 0
      ? element('p', { class: 'bad' }, '✗ no hosts')
      : element(
          'div',
          { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Hosts of ${name}` },
          table(
            ['Host', 'Health', 'Weight', 'Requests', 'Errors', 'Active'],
            hosts.map(host => hostRow(host, now)),
          ),
        ),
  )
}

function hostRow({ address, hostname, health, weight, requests, errors, active, lastFailure, lastFailureAt }, now) {
  const ok = health === 'healthy' || health === 'degraded'
  const failure = lastFailure === '' ? '' : `${lastFailure}, ${ageText(now - lastFailureAt)} ago`
  return {
    'data-key': address,
    'data-health': health,
    cells: [
      element('td', {}, hostname === '' ? address : `${hostname} (${address})`),
      element(
        'td',
        { class: ok ? 'good' : 'bad' },
        HEALTH[health] ?? health,
        failure === '' ? '' : element('span', { class: 'quiet small' }, ` last failure: ${failure}`),
      ),
      element('td', { class: 'number' }, String(weight)),
      element('td', { class: 'number' }, String(requests)),
      element('td', { class: errors > 0 ? 'number bad' : 'number' }, String(errors)),
      element('td', { class: 'number' }, String(active)),
    ],
  }
}

/** Nothing where no request is limited by a rate. */
export function rateLimitTable(limits) {
  if (limits.length === 0) return element('div', {})
  return element(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Rate limits' },
    element('h3', {}, 'Rate limits'),
    table(
      ['Of', 'Allows', 'At once', 'Passed', 'Refused'],
      limits.map(({ where, name, perSecond, burst, passed, refused }) => ({
        'data-key': `${where} ${name}`,
        'data-rate-limit': name,
        cells: [
          element('td', {}, `${name}, ${where}`),
          element('td', { class: 'number' }, `${rateText(perSecond)}/s`),
          element('td', { class: 'number' }, String(burst)),
          element('td', { class: 'number' }, String(passed)),
          element('td', { class: refused > 0 ? 'number bad' : 'number' }, String(refused)),
        ],
      })),
    ),
  )
}

function limitList(limits) {
  const rows = limits.map(({ name, inUse, max, refused }) => {
    const open = inUse > 0 && inUse >= max
    const share = max > 0 ? Math.min(100, (inUse / max) * 100) : inUse > 0 ? 100 : 0
    const text = `${inUse} of ${max > 1e9 ? 'any number' : max}${refused > 0 ? `, ${refused} refused` : ''}`
    return element(
      'li',
      { 'data-open': open, 'data-limit': name },
      element('span', {}, name),
      svg(
        'svg',
        { viewBox: '0 0 100 6', preserveAspectRatio: 'none', width: 64, height: 6, 'aria-hidden': 'true' },
        svg('rect', { width: 100, height: 6, rx: 3, class: 'rail' }),
        svg('rect', { width: inUse > 0 ? Math.max(4, share) : 0, height: 6, rx: 3, class: 'taken' }),
      ),
      element('span', { class: refused > 0 || open ? 'bad' : 'quiet' }, open ? `${text}: open` : text),
    )
  })
  return element('ul', { class: 'limits', 'aria-label': 'Limits of the circuit breaker' }, ...rows)
}
