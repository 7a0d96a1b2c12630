/**
 * The page: asks `mesh` again and again while somebody looks, and draws what it says. The same modules serve a sidecar's
 * admin listener, which sees itself and its neighbours, and a page over several sidecars, which sees the mesh.
 *
 * `#failure/<id>` shows one failure, `#service/<name>` one service.
 */
import { clusterCards, rateLimitTable } from './clusters.js'
import { configurationTree } from './configuration.js'
import { ageText, clock, element, percentText, place, replace, say } from './elements.js'
import { callTable, FEW, failureDetail, failureTable, serviceDetail, toldTable, traces } from './failures.js'
import { Pulse } from './pulse.js'
import { Rates } from './rates.js'
import { Topology } from './topology.js'

const EVERY_MS = 1500
/** Clusters change more slowly, and there may be many. */
const CLUSTERS_EVERY = 2
/** Spans arrive in batches, from several sidecars: the trace is asked for again while more may come. */
const TRACE_LOOKS = 6
const TRACE_AGAIN_MS = 1500

const rates = new Rates()
const pulse = new Pulse()
const topology = new Topology(place('topology'))
/** As drawn last; undefined until then. */
let mesh
let looks = 0

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: 'application/json' } })
  if (!answer.ok) throw new Error((await answer.text()).trim().split('\n')[0] || `${path}: ${answer.status}`)
  return await answer.json()
}

async function refresh() {
  try {
    mesh = rates.add(await ask('mesh'))
    draw(mesh)
    if (looks++ % CLUSTERS_EVERY === 0) await drawClusters()
  } catch (error) {
    place('verdict').dataset.state = 'away'
    say(place('headline'), 'No answer')
    say(place('since'), `${error.message}; trying again.`)
    say(place('live'), 'No answer; trying again.')
  }
}

function draw(now) {
  drawScope(now)
  drawVerdict(now)
  topology.update(now)
  replace(place('calls'), callTable(now.edges))
  drawFailures()
  place('told-section').hidden = now.demo === undefined
  if (now.demo !== undefined) replace(place('told'), toldTable(now.demo.told))
  drawService()
}

/** Held while somebody points at it or has the focus in it: what one wants to follow must not run away. */
function drawFailures() {
  const where = place('failures')
  const more = place('more-failures')
  const all = more.getAttribute('aria-expanded') === 'true'
  more.hidden = mesh.failures.length <= FEW
  say(more, all ? 'Show fewer' : `Show all ${mesh.failures.length}`)
  const held = where.matches(':hover') || where.contains(document.activeElement)
  place('held').hidden = !held
  if (!held || where.childElementCount === 0) replace(where, failureTable(mesh.failures, { all }))
}

function drawScope({ scope, sidecars }) {
  const [own] = sidecars
  const whole = scope === 'mesh'
  const states = [...new Set(sidecars.map(({ state }) => state))].join(', ')
  const text = whole
    ? `the mesh · ${sidecars.length} sidecars`
    : `sidecar ${own.name}${own.name === own.service ? '' : ` of ${own.service}`} · ${states} · up ${ageText(own.uptimeMs)} · ${own.version}`
  say(place('scope'), text)
  say(
    place('sees'),
    whole
      ? ''
      : `This is what the sidecar of ${own.service} sees: its callers, itself and whom it calls. What lies beyond it knows from the failures that came by.`,
  )
  place('sees').hidden = whole
  place('endpoints').hidden = whole
  const title = `${whole ? 'Mesh' : own.service} · Hopwise`
  if (document.title !== title) document.title = title
  drawSidecars(whole ? sidecars : [])
}

/** Whose clusters and configuration are shown, where there are several. */
function drawSidecars(sidecars) {
  place('sidecar-label').hidden = sidecars.length < 2
  const select = place('sidecar')
  const names = sidecars.map(({ name }) => name)
  if (JSON.stringify(names) === JSON.stringify([...select.options].map(({ value }) => value))) return
  const chosen = select.value
  select.replaceChildren(...names.map(name => element('option', { value: name }, name)))
  if (names.includes(chosen)) select.value = chosen
}

function drawVerdict({ services, edges, scope, demo, at }) {
  const broken = services.filter(({ origin }) => origin !== undefined).sort((a, b) => b.origin.count - a.origin.count)
  const from = edges.filter(({ from }) => from === '(callers)')
  const taken = from.length > 0 ? from : edges
  const rate = taken.reduce((sum, edge) => sum + (edge.rate ?? 0), 0)
  const errors = rate === 0 ? 0 : taken.reduce((sum, edge) => sum + (edge.rate ?? 0) * edge.errors, 0) / rate
  const verdict = place('verdict')
  verdict.dataset.state = broken.length > 0 ? 'failing' : edges.length === 0 ? 'waiting' : 'well'
  const names = broken.map(({ name, origin }) => `${name} (${origin.cause})`).join(', ')
  const headline =
    broken.length > 0 ? `Failures begin at ${names}` : edges.length === 0 ? 'No requests yet' : 'Nothing fails'
  say(place('headline'), headline)
  const since = Math.min(...broken.map(({ origin }) => origin.since))
  const whose = scope === 'mesh' ? 'requests' : 'requests here'
  const facts = []
  if (broken.length > 0) facts.push(`since ${clock(since)}, for ${ageText(at - since)}`)
  if (errors > 0) facts.push(`${percentText(errors)} of ${whose} fail`)
  if (demo?.current) facts.push(`broken on purpose: ${demo.current}`)
  say(place('since'), facts.join(' · '))
  // Read out: only what is new, and no numbers that change with every look.
  say(place('live'), `${headline}.`)
  if (taken.every(edge => edge.rate !== undefined) && taken.length > 0) pulse.add(rate, errors)
  replace(place('pulse'), pulse.draw())
}

function chosenSidecar() {
  const { value } = place('sidecar')
  return value === '' ? '' : `?sidecar=${encodeURIComponent(value)}`
}

async function drawClusters() {
  const { clusters, rateLimits } = await ask(`mesh/clusters${chosenSidecar()}`)
  replace(place('clusters'), clusterCards(clusters, mesh.at))
  replace(place('rate-limits'), rateLimitTable(rateLimits))
}

async function drawConfiguration() {
  try {
    const tree = configurationTree(await ask(`mesh/config${chosenSidecar()}`))
    place('configuration').replaceChildren(tree)
  } catch (error) {
    place('configuration').replaceChildren(element('p', { class: 'bad' }, `Not to be had: ${error.message}`))
  }
}

/** What the fragment of the address asks for: `['failure', id]`, `['service', name]` or nothing. */
function wanted() {
  const match = /^#(failure|service)\/(.+)$/.exec(location.hash)
  return match === null ? [] : [match[1], decodeURIComponent(match[2])]
}

async function showDetail() {
  const detail = place('detail')
  const [what, name] = wanted()
  detail.hidden = what === undefined
  if (what === undefined) {
    detail.replaceChildren()
    return
  }
  const shown = name === '(callers)' ? 'Callers' : name
  const title = element('h2', { id: 'detail-title', tabindex: '-1' }, what === 'failure' ? `Failure ${name}` : shown)
  const close = element('a', { href: '#', class: 'close', 'aria-label': 'Close' }, '✕')
  const body = element('div', { id: 'detail-body' })
  detail.replaceChildren(element('div', { class: 'heading' }, title, close), body)
  title.focus({ preventScroll: true })
  detail.scrollIntoView({ block: 'nearest' })
  if (what === 'service') drawService()
  else await showFailure(name, body)
}

function drawService() {
  const [what, name] = wanted()
  const body = place('detail-body')
  if (what === 'service' && body !== null && mesh !== undefined) replace(body, serviceDetail(name, mesh))
}

async function showFailure(id, body) {
  try {
    const failure = await ask(`mesh/failure/${encodeURIComponent(id)}`)
    body.replaceChildren(failureDetail(failure), element('div'))
    const where = body.lastElementChild.appendChild(element('div'))
    for (let looks = 0; looks < TRACE_LOOKS && body.isConnected; looks++) {
      if (looks > 0) await new Promise(resolve => setTimeout(resolve, TRACE_AGAIN_MS))
      replace(where, await traces(failure, trace))
    }
  } catch (error) {
    body.replaceChildren(element('p', { class: 'bad' }, `Not to be had: ${error.message}`))
  }
}

/** `{spans}`, or `{spans: [], why}`. */
async function trace(id) {
  try {
    return await ask(`mesh/trace/${id}`)
  } catch (error) {
    return { spans: [], why: error.message }
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await refresh()
    await new Promise(resolve => setTimeout(resolve, EVERY_MS))
  }
}

addEventListener('hashchange', showDetail)
addEventListener('keydown', event => {
  if (event.key === 'Escape' && wanted().length > 0) location.hash = ''
})
place('more-failures').addEventListener('click', () => {
  const more = place('more-failures')
  more.setAttribute('aria-expanded', String(more.getAttribute('aria-expanded') !== 'true'))
  drawFailures()
})
place('sidecar').addEventListener('change', () => {
  void drawClusters()
  void drawConfiguration()
})
void showDetail()
void run()
void drawConfiguration()
