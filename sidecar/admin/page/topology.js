/**
 * Who calls whom, as SVG: services in columns by their distance from those who call, the hop where failures begin marked.
 * Drawn anew when a service or a call comes or goes; otherwise only numbers and colours change, so that the focus stays.
 */
import { clock, percentText, rateText, say, set, svg } from './elements.js'
import { edgeKey } from './rates.js'

const WIDTH = 152
const HEIGHT = 92
/** Of those who call nothing is known, so they take little room. */
const CALLERS_WIDTH = 96
/** Between one who calls and one who is called, and between two beside each other. */
const ACROSS = 84
const DOWN = 62
const BESIDE = 26
/** Narrower than this the calls go down the page instead of across. */
const NARROW = 640
/** One among hundreds is no colour for the whole edge; it stands among the recent failures. */
const FAILING = 0.005
const MAX_NAME = 15

export class Topology {
  #where
  #shape = ''
  #mesh
  #nodes = new Map()
  #edges = new Map()

  constructor(where) {
    this.#where = where
    new ResizeObserver(() => this.#mesh && this.update(this.#mesh)).observe(where)
  }

  update(mesh) {
    this.#mesh = mesh
    const down = this.#where.clientWidth < NARROW
    const shape = JSON.stringify([down, mesh.services.map(({ name, kind }) => [name, kind]), mesh.edges.map(edgeKey)])
    if (shape !== this.#shape) this.#draw(mesh, down)
    this.#shape = shape
    for (const service of mesh.services) updateNode(this.#nodes.get(service.name), service)
    for (const edge of mesh.edges) updateEdge(this.#edges.get(edgeKey(edge)), edge)
  }

  #draw({ services, edges }, down) {
    const places = lay(services, edges, down)
    const all = [...places.values()]
    const width = Math.max(...all.map(({ x, width }) => x + width))
    const height = Math.max(...all.map(({ y }) => y)) + HEIGHT
    this.#nodes = new Map(services.map(service => [service.name, node(service, places.get(service.name))]))
    this.#edges = new Map(
      edges.map(each => [edgeKey(each), edge(places.get(each.from), places.get(each.to), each, down)]),
    )
    const focused = document.activeElement?.getAttribute('href')
    this.#where.replaceChildren(
      svg(
        'svg',
        { viewBox: `-6 -6 ${width + 12} ${height + 12}`, width: width + 12, height: height + 12, role: 'list' },
        arrows(),
        ...[...this.#edges.values()].map(({ group }) => group),
        ...[...this.#nodes.values()].map(({ group }) => group),
      ),
    )
    if (focused) [...this.#nodes.values()].find(({ link }) => link.getAttribute('href') === focused)?.link.focus()
  }
}

/**
 * Steps by breadth first search from those who call; at each, those called by the same stand together, and all are centred.
 * Steps go across the page, or down it.
 */
function lay(services, edges, down) {
  const steps = stepsOf(services, edges)
  const rows = Map.groupBy(services, ({ name }) => steps.get(name))
  const most = Math.max(...[...rows.values()].map(row => row.length))
  const beside = (down ? WIDTH : HEIGHT) + BESIDE
  const places = new Map()
  let along = 0
  for (const step of [...rows.keys()].sort((a, b) => a - b)) {
    const row = rows.get(step)
    const middle = name => {
      const from = edges.filter(each => each.to === name && places.has(each.from)).map(each => places.get(each.from).at)
      return from.length === 0 ? 0 : from.reduce((sum, at) => sum + at, 0) / from.length
    }
    const sorted = row
      .map(({ name, kind }) => ({ name, kind, middle: middle(name) }))
      .sort((a, b) => a.middle - b.middle)
    const first = ((most - row.length) * beside) / 2
    for (const [i, { name, kind }] of sorted.entries()) {
      const at = first + i * beside
      const width = kind === 'callers' ? CALLERS_WIDTH : WIDTH
      const centred = at + (WIDTH - width) / 2
      places.set(name, down ? { at, x: centred, y: along, width } : { at, x: along, y: at, width })
    }
    const widest = Math.max(...row.map(({ kind }) => (kind === 'callers' ? CALLERS_WIDTH : WIDTH)))
    along += down ? HEIGHT + DOWN : widest + ACROSS
  }
  return places
}

function stepsOf(services, edges) {
  const steps = new Map()
  const queue = []
  const put = (name, step) => {
    if (steps.has(name)) return
    steps.set(name, step)
    queue.push(name)
  }
  const search = () => {
    while (queue.length > 0) {
      const from = queue.shift()
      for (const { to } of edges.filter(each => each.from === from)) put(to, steps.get(from) + 1)
    }
  }
  const called = new Set(edges.filter(({ from, to }) => from !== to).map(({ to }) => to))
  const roots = services.filter(({ name, kind }) => kind === 'callers' || (kind === 'edge' && !called.has(name)))
  for (const { name } of roots.length > 0 ? roots : services.filter(({ name }) => !called.has(name))) put(name, 0)
  search()
  // Whoever nobody reaches yet, or who call each other in a ring.
  for (const { name } of services) {
    put(name, 0)
    search()
  }
  return steps
}

function node({ name, kind }, { x, y, width }) {
  const texts = {
    name: svg('text', { x: x + 16, y: y + 27, class: 'name' }),
    facts: svg('text', { x: x + 16, y: y + 48, class: 'small' }),
    state: svg('text', { x: x + 16, y: y + 66, class: 'small state' }),
    since: svg('text', { x: x + 16, y: y + 82, class: 'tiny' }),
  }
  const title = svg('title')
  const link = svg(
    'a',
    { href: `#service/${encodeURIComponent(name)}` },
    title,
    svg('rect', { x, y, width, height: HEIGHT, rx: 10, class: 'box' }),
    svg('rect', { x, y: y + 12, width: 4, height: HEIGHT - 24, rx: 2, class: 'stripe' }),
    ...Object.values(texts),
  )
  const group = svg('g', { class: 'node', role: 'listitem', 'data-service': name, 'data-kind': kind }, link)
  return { group, link, title, texts }
}

const KINDS = { edge: 'edge', external: 'outside' }

function updateNode({ group, link, title, texts }, service) {
  const { name, kind, instances, requests, rate, ownMs, errors, origin } = service
  const shown = kind === 'callers' ? 'callers' : name
  const cut = shown.length > MAX_NAME ? `${shown.slice(0, MAX_NAME - 1)}…` : shown
  say(texts.name, instances.length > 1 ? `${cut} ×${instances.length}` : cut)
  // Of a service without an inbound listener nobody knows what it takes.
  const facts = [KINDS[kind] ?? '', kind === 'callers' || requests === 0 ? '' : `${rateText(rate)}/s`]
  if (ownMs !== undefined && kind === 'service') facts.push(`${ownMs.toFixed(0)} ms own`)
  const text = facts.filter(fact => fact !== '').join(' · ')
  say(texts.facts, text)
  const state = origin === undefined ? '' : `✗ ${origin.cause}`
  say(texts.state, state === '' && errors >= FAILING && kind !== 'callers' ? `${percentText(errors)} fail` : state)
  say(texts.since, origin === undefined ? '' : `×${origin.count} since ${clock(origin.since)}`)
  // Attributes by which tests and style sheets tell.
  set(group, {
    'data-origin': origin?.cause,
    'data-since': origin === undefined ? undefined : new Date(origin.since).toISOString(),
    'data-failing': errors >= FAILING,
  })
  const began = origin === undefined ? '' : `; failures begin here: ${origin.cause}, since ${clock(origin.since)}`
  const failing = errors >= FAILING ? `; ${percentText(errors)} of its requests fail` : ''
  set(link, { 'aria-label': `${shown}: ${text}${failing}${began}` })
  say(title, shown)
}

function edge(a, b, { from, to }, down) {
  const { path, text } = down ? pathDown(a, b) : pathAcross(a, b)
  const line = svg('path', { d: path, class: 'line' })
  const flow = svg('path', { d: path, class: 'flow' })
  const { x, y, anchor, under } = text
  const rate = svg('text', { x, y, 'text-anchor': anchor, class: 'small' })
  const errors = svg('text', { x, y: y + under, 'text-anchor': anchor, class: 'small state' })
  const group = svg(
    'g',
    { class: 'edge', 'data-from': from, 'data-to': to, 'aria-hidden': 'true' },
    line,
    flow,
    rate,
    errors,
  )
  return { group, line, flow, rate, errors }
}

function pathAcross(a, b) {
  const y1 = a.y + HEIGHT / 2
  const y2 = b.y + HEIGHT / 2
  const right = a.x + a.width
  // To itself, or within a column: around the side.
  if (a.x === b.x) {
    const path = `M${right},${y1} C${right + 50},${y1} ${right + 50},${y2 + 12} ${right + 4},${y2 + 12}`
    return { path, text: { x: right + 12, y: y1 - 8, anchor: 'start', under: -16 } }
  }
  const forward = b.x > a.x
  const x1 = forward ? right : a.x
  const x2 = forward ? b.x - 4 : b.x + b.width + 4
  const bend = (forward ? 1 : -1) * (ACROSS / 2)
  return {
    path: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`,
    text: { x: x2 + (forward ? -12 : 12), y: y2 - 9, anchor: forward ? 'end' : 'start', under: 28 },
  }
}

function pathDown(a, b) {
  const x1 = a.x + a.width / 2
  const x2 = b.x + b.width / 2
  const forward = b.y > a.y
  const y1 = forward ? a.y + HEIGHT : a.y
  const y2 = forward ? b.y - 4 : b.y + HEIGHT + 4
  if (a.y === b.y) {
    const below = a.y + HEIGHT
    const path = `M${x1},${below} C${x1},${below + 40} ${x2 + 12},${below + 40} ${x2 + 12},${below + 4}`
    return { path, text: { x: x2 + 20, y: below + 20, anchor: 'start', under: 15 } }
  }
  const bend = (forward ? 1 : -1) * (DOWN / 2)
  return {
    path: `M${x1},${y1} C${x1},${y1 + bend} ${x2},${y2 - bend} ${x2},${y2}`,
    text: { x: x2 + 12, y: y2 - (forward ? 32 : -24), anchor: 'start', under: 15 },
  }
}

function updateEdge({ group, line, flow, rate, errors }, edge) {
  const failing = edge.errors >= FAILING
  set(group, { 'data-failing': failing, 'data-quiet': edge.rate === 0 })
  set(line, { 'marker-end': `url(#${failing ? 'failing' : 'arrow'})`, 'stroke-width': thickness(edge.rate) })
  set(flow, { 'stroke-width': thickness(edge.rate) })
  say(rate, `${rateText(edge.rate)}/s`)
  say(errors, failing ? `${percentText(edge.errors)} ✗` : '')
}

/** Ten times the requests, one and a half pixels more. */
function thickness(perSecond = 0) {
  return (1.5 + 1.5 * Math.min(3, Math.log10(1 + perSecond))).toFixed(1)
}

function arrows() {
  const arrow = id =>
    svg(
      'marker',
      {
        id,
        viewBox: '0 0 8 8',
        refX: 6,
        refY: 4,
        markerWidth: 9,
        markerHeight: 9,
        orient: 'auto',
        markerUnits: 'userSpaceOnUse',
      },
      svg('path', { d: 'M0,0 L8,4 L0,8 z', class: id }),
    )
  return svg('defs', {}, arrow('arrow'), arrow('failing'))
}
