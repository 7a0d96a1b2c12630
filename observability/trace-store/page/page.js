/**
 * The page of the demo: asks `api/mesh` (all sidecars' answers in one document) again and again while somebody looks, and
 * the trace store for the trace of a failure. `#failure/<id>` shows one failure.
 */
import { clock, element, rate, replace, table } from './elements.js'
import { topology } from './topology.js'
import { waterfall } from './waterfall.js'

const EVERY_MS = 1500
const place = id => document.getElementById(id)

async function json(path) {
  const answer = await fetch(path)
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return await answer.json()
}

async function refresh() {
  try {
    const mesh = await json('api/mesh')
    const broken = mesh.services.filter(service => service.origins > 0)
    say(mesh.demo?.current ?? '', broken)
    replace(place('topology'), topology(mesh))
    replace(place('calls'), callTable(mesh))
    replace(place('told'), toldTable(mesh.demo?.told ?? []))
    replace(place('failure-list'), failureTable(mesh.failures))
  } catch (error) {
    place('now').textContent = `No answer (${error.message}); trying again.`
  }
}

function say(current, broken) {
  const named = broken.map(({ name, cause }) => `${name} (${cause})`).join(', ')
  const text = `${current === '' ? 'Nothing is broken on purpose' : `Broken now: ${current}`}; ${named === '' ? 'no failures' : `failures began at ${named}`}.`
  // Only what is new is read out.
  if (place('now').textContent !== text) place('now').textContent = text
}

function callTable({ edges }) {
  return table(
    ['Caller', 'Called', 'Calls a second', 'Failed'],
    edges.map(({ from, to, rate: perSecond, errors }) => [
      from,
      to,
      rate(perSecond),
      element('td', { class: errors > 0 ? 'bad' : '' }, `${Math.round(errors * 100)} %`),
    ]),
  )
}

function toldTable(told) {
  if (told.length === 0) return element('p', { class: 'quiet' }, 'Nothing yet.')
  return table(
    ['Time', 'Broken', 'Callers saw', 'Named', 'By'],
    told.map(({ at, title, callersSaw, named, evidence, failureId, right, why }) => [
      clock(at),
      title,
      callersSaw,
      element(
        'td',
        { class: right ? 'good' : 'bad' },
        right ? '√ ' : '× ',
        failureId === '' ? named : element('a', { href: `#failure/${failureId}` }, named),
        right ? '' : ` (${why})`,
      ),
      evidence,
    ]),
  )
}

function failureTable(failures) {
  if (failures.length === 0) return element('p', { class: 'quiet' }, 'None.')
  return table(
    ['Time', 'Began at', 'Cause', 'Ended', 'Evidence', 'Path', 'Trace'],
    failures.map(({ id, at, origin, cause, subCause, outcome, confidence, path }) => [
      clock(at),
      element('td', { class: outcome === 'visible' ? 'bad' : '' }, origin),
      subCause === '' ? cause : `${cause} (${subCause})`,
      outcome,
      confidence,
      path.join(' → '),
      element('a', { href: `#failure/${id}`, 'aria-label': `Failure ${id}, ${cause} at ${origin}` }, id),
    ]),
  )
}

/** Shows what the fragment of the address asks for. */
async function showDetail() {
  const detail = place('detail')
  const id = /^#failure\/([\w-]+)$/.exec(location.hash)?.[1]
  detail.hidden = id === undefined
  if (id === undefined) return
  const title = element('h2', { id: 'detail-title', tabindex: '-1' }, `Failure ${id}`)
  detail.replaceChildren(title)
  title.focus()
  try {
    const failure = await json(`api/failure/${id}`)
    detail.append(facts(failure), parts(failure.entries))
    if (failure.traceIds.length > 0) {
      const text = failure.traceIds.length === 1 ? 'Its trace' : `Its ${failure.traceIds.length} traces, joined`
      detail.append(element('h2', {}, text), waterfall((await Promise.all(failure.traceIds.map(trace))).flat()))
    }
  } catch (error) {
    detail.append(element('p', { class: 'bad' }, `Not to be had: ${error.message}`))
  }
  detail.append(element('p', {}, element('a', { href: '#failures' }, 'Close')))
}

/** Spans arrive in batches: what is not there yet may be in a moment. */
async function trace(traceId) {
  for (let tries = 0; tries < 4; tries++) {
    const answer = await fetch(`api/v2/trace/${traceId}`)
    if (answer.ok) return await answer.json()
    await new Promise(resolve => setTimeout(resolve, 700))
  }
  return []
}

function facts({ origin, cause, subCause, link, path, confidence, outcome, attempts, details, at, traceIds }) {
  const list = element('dl')
  const fact = (name, value) => list.append(element('dt', {}, name), element('dd', {}, value))
  fact('Began at', element('strong', { class: 'bad' }, origin))
  fact('Cause', subCause === '' ? cause : `${cause} (${subCause})`)
  fact('Link', link)
  fact('Path', path.join(' → '))
  fact('Evidence', confidence)
  fact('Ended', attempts > 1 ? `${outcome}, after ${attempts} attempts` : outcome)
  if (details !== '') fact('Details', details)
  fact('Time', clock(at))
  for (const id of traceIds) fact('Trace', element('a', { href: `api/v2/trace/${id}` }, id))
  return list
}

function parts(entries) {
  const rows = entries
    .toSorted((a, b) => a.at - b.at || a.seq - b.seq)
    .map(({ at, service, side, role, origin, cause, confidence, status }) => [
      clock(at),
      service,
      side,
      role,
      `${cause} at ${origin}`,
      confidence,
      status === 0 ? '' : String(status),
    ])
  return table(['Time', 'Sidecar', 'Side', 'Part', 'Says', 'Evidence', 'Status'], rows)
}

async function run() {
  for (;;) {
    if (!document.hidden) await refresh()
    await new Promise(resolve => setTimeout(resolve, EVERY_MS))
  }
}

addEventListener('hashchange', showDetail)
void showDetail()
void run()
