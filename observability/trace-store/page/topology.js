/** Who calls whom, as SVG: services in columns by their distance from the edge, the hop where failures began marked. */
import { rate, svg } from './elements.js'

const WIDTH = 156
const HEIGHT = 74
const GAP_X = 80
const GAP_Y = 34

export function topology({ services, edges }) {
  const places = lay(services, edges)
  const columns = Math.max(...[...places.values()].map(place => place.column)) + 1
  const rows = Math.max(...[...places.values()].map(place => place.row)) + 1
  const width = columns * (WIDTH + GAP_X) - GAP_X + 8
  const height = rows * (HEIGHT + GAP_Y) - GAP_Y + 8
  const broken = services.filter(service => service.origins > 0)
  const label =
    broken.length === 0
      ? 'Topology: nothing fails'
      : `Topology: failures began at ${broken.map(({ name, cause }) => `${name} (${cause})`).join(', ')}`
  return svg(
    'svg',
    { viewBox: `-4 -4 ${width} ${height}`, width, height, role: 'img', 'aria-label': label },
    arrow(),
    ...edges.filter(({ from, to }) => places.has(from) && places.has(to)).map(each => edge(each, places)),
    ...services.filter(({ name }) => places.has(name)).map(each => node(each, places.get(each.name))),
  )
}

/** Breadth first from the edge; whoever nobody calls yet stands in the first column. */
function lay(services, edges) {
  const columns = new Map()
  const queue = services.filter(({ kind }) => kind === 'edge').map(({ name }) => name)
  for (const name of queue) columns.set(name, 0)
  while (queue.length > 0) {
    const from = queue.shift()
    for (const { to } of edges.filter(each => each.from === from)) {
      if (columns.has(to)) continue
      columns.set(to, columns.get(from) + 1)
      queue.push(to)
    }
  }
  const used = new Map()
  const places = new Map()
  for (const { name } of services) {
    const column = columns.get(name) ?? 0
    const row = used.get(column) ?? 0
    used.set(column, row + 1)
    places.set(name, { column, row, x: column * (WIDTH + GAP_X), y: row * (HEIGHT + GAP_Y) })
  }
  return places
}

function node({ name, kind, instances, rate: perSecond, ownMs, origins, cause }, { x, y }) {
  const count = instances.length > 1 ? ` ×${instances.length}` : ''
  const own = ownMs >= 0 ? `, ${ownMs.toFixed(0)} ms own` : ''
  const state = origins > 0 ? `✗ ${cause} ×${origins}` : ''
  return svg(
    'g',
    { class: 'node', 'data-service': name, 'data-kind': kind, 'data-origin': origins > 0 ? cause : undefined },
    svg('rect', { x, y, width: WIDTH, height: HEIGHT, rx: 8 }),
    svg('text', { x: x + 12, y: y + 25, class: 'name' }, `${name}${count}`),
    svg('text', { x: x + 12, y: y + 44, class: 'small' }, kind === 'edge' ? 'edge' : `${rate(perSecond)}/s${own}`),
    svg('text', { x: x + 12, y: y + 63, class: 'small cause' }, state),
  )
}

function edge({ from, to, rate: perSecond, errors }, places) {
  const a = places.get(from)
  const b = places.get(to)
  const x1 = a.x + WIDTH
  const y1 = a.y + HEIGHT / 2
  const x2 = b.x - 3
  const y2 = b.y + HEIGHT / 2
  const middle = (x1 + x2) / 2
  // One among hundreds is no colour for the whole edge; it stands among the recent failures.
  const failing = errors >= 0.005
  const text = failing ? `${Math.round(errors * 100)} % ✗` : `${rate(perSecond)}/s`
  return svg(
    'g',
    { class: 'edge', 'data-from': from, 'data-to': to, 'data-failing': failing },
    svg('path', { d: `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`, 'marker-end': 'url(#arrow)' }),
    svg('text', { x: x2 - 8, y: y2 - 8, 'text-anchor': 'end' }, text),
  )
}

function arrow() {
  const path = svg('path', { d: 'M0,0 L8,4 L0,8 z', fill: 'context-stroke' })
  const size = { viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 8, markerHeight: 8 }
  return svg('defs', {}, svg('marker', { id: 'arrow', ...size, orient: 'auto', markerUnits: 'userSpaceOnUse' }, path))
}
