/** The configuration in effect, resource by resource, with its place in the file; JSON is made when somebody opens it. */
import { element } from './elements.js'

const KINDS = [
  ['ListenersConfigDump', ['static_listeners', 'dynamic_listeners'], 'Listeners', 'listener'],
  ['RoutesConfigDump', ['static_route_configs', 'dynamic_route_configs'], 'Routes', 'route_config'],
  [
    'ClustersConfigDump',
    ['static_clusters', 'dynamic_active_clusters', 'dynamic_warming_clusters'],
    'Clusters',
    'cluster',
  ],
  ['BootstrapConfigDump', ['bootstrap'], 'Bootstrap', 'bootstrap'],
]

export function configurationTree({ sources, configs }) {
  const places = new Map(sources.map(source => [`${source.kind} ${source.name}`, placeText(source)]))
  const parts = KINDS.flatMap(([type, fields, title, kind]) => {
    const section = configs.find(config => config['@type']?.endsWith(`.${type}`)) ?? {}
    const resources = fields.flatMap(field => section[field] ?? []).map(entry => resourceOf(entry, kind))
    if (resources.length === 0) return []
    return [
      element('h3', {}, title),
      ...resources.map(resource => {
        const name = kind === 'bootstrap' ? 'the whole file' : resource.name || '(no name)'
        return part(name, places.get(`${kind} ${resource.name}`) ?? '', resource, children(kind, resource, places))
      }),
    ]
  })
  return element('div', { class: 'configuration' }, ...parts)
}

/** What is in a dump's entry: `{cluster: {…}, last_updated}`; of a dynamic listener, what is active. */
function resourceOf(entry, kind) {
  return entry[kind] ?? entry.active_state?.[kind] ?? entry
}

/** Routes one by one, because they are what people look for. */
function children(kind, resource, places) {
  if (kind !== 'route_config') return []
  return (resource.virtual_hosts ?? []).flatMap(host =>
    (host.routes ?? []).map((route, i) => {
      const target = route.route?.cluster ?? (route.direct_response ? `status ${route.direct_response.status}` : '')
      const match = route.match?.prefix ?? route.match?.path ?? route.match?.safe_regex?.regex ?? '…'
      const place = places.get(`route ${resource.name ?? ''}/${host.name}/${i}`) ?? ''
      return part(`${host.name} ${match}${target === '' ? '' : ` → ${target}`}`, place, route, [])
    }),
  )
}

function part(name, place, resource, inside) {
  const content = element('div', {})
  const details = element(
    'details',
    {},
    element('summary', {}, element('span', { class: 'mono' }, name), element('span', { class: 'place mono' }, place)),
    content,
  )
  details.addEventListener('toggle', () => {
    if (!details.open || content.childElementCount > 0) return
    const json = element(
      'pre',
      { tabindex: '0', role: 'region', 'aria-label': `${name} as JSON` },
      JSON.stringify(resource, undefined, 2),
    )
    content.append(...inside, json)
  })
  return details
}

function placeText({ file, line }) {
  return line > 0 ? `${file}:${line}` : file
}
