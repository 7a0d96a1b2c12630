/** Failures: the table of the recent ones, and one of them whole, with its way, its parts and its trace. */
import { ageText, clock, element, percentText, rateText, table } from './elements.js'
import { waterfall } from './waterfall.js'

export const FEW = 12

const EVIDENCE = {
  exact: 'exact: ids tell',
  trace: 'trace: one request of this trace was in hand',
  unique: 'unique: only one request was in hand',
  link: 'link: what lies beyond is not known',
  likely: 'likely: several requests may have been meant',
  none: 'none: belongs to no request',
}

/** The newest, and as many as there are once somebody asks for them. */
export function failureTable(failures, { all = false } = {}) {
  if (failures.length === 0) return element('p', { class: 'quiet' }, 'None.')
  const shown = all ? failures : failures.slice(0, FEW)
  return table(
    ['Time', 'Began at', 'Cause', 'Ended', 'Evidence', 'Path', 'Failure'],
    shown.map(failure => {
      const { id, at, origin, cause, subCause, outcome, confidence, path } = failure
      return {
        'data-key': id,
        'data-outcome': outcome,
        cells: [
          clock(at),
          element('td', { class: outcome === 'visible' ? 'bad' : '' }, serviceLink(origin)),
          subCause === '' ? cause : `${cause} (${subCause})`,
          outcome,
          confidence,
          path.join(' → '),
          element('a', { href: `#failure/${id}`, 'aria-label': `Failure ${id}, ${cause} at ${origin}` }, id),
        ],
      }
    }),
  )
}

export function serviceLink(name) {
  return element('a', { href: `#service/${encodeURIComponent(name)}` }, name)
}

/** Everything of one failure but its trace, which is asked for by itself. */
export function failureDetail(failure) {
  const { origin, cause, subCause, link, confidence, outcome, attempts, details, at, ids, status, grpcStatus } = failure
  const list = element('dl')
  const fact = (name, ...values) => list.append(element('dt', {}, name), element('dd', {}, ...values))
  fact('Began at', element('strong', { class: 'bad' }, serviceLink(origin)))
  fact('Cause', subCause === '' ? cause : `${cause} (${subCause})`)
  if (link.includes('>')) fact('Link', link)
  fact('Evidence', EVIDENCE[confidence] ?? confidence)
  fact('Ended', attempts > 1 ? `${outcome}, after ${attempts} attempts` : outcome)
  if (status > 0) fact('Answered with', grpcStatus >= 0 ? `${status}, grpc-status ${grpcStatus}` : String(status))
  if (details !== '') fact('Details', details)
  fact('Time', `${clock(at)}, ${ageText(Date.now() - at)} ago`)
  if (ids.length > 1) fact('Ids', ids.join(', '))
  return element('div', {}, way(failure), list, parts(failure.entries))
}

/** From whoever asked to where it began: the way of the request, which is what people read. */
function way({ path, origin, cause }) {
  const hops = path.toReversed().flatMap((name, i) => {
    const hop = element('li', { 'data-origin': name === origin ? cause : undefined }, name)
    return i === 0 ? [hop] : [element('li', { class: 'arrow', 'aria-hidden': 'true' }, '→'), hop]
  })
  return element('ol', { class: 'way', 'aria-label': `The way of the request, to ${origin}, where it failed` }, ...hops)
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
  return element(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'What each sidecar says' },
    table(['Time', 'Sidecar', 'Side', 'Part', 'Says', 'Evidence', 'Status'], rows),
  )
}

/** The traces of a failure, or why they are not to be had. */
export async function traces({ traceIds }, trace) {
  if (traceIds.length === 0) return element('p', { class: 'quiet' }, 'It was not traced.')
  const found = await Promise.all(traceIds.map(trace))
  const spans = found.flatMap(each => each.spans)
  const text = traceIds.length === 1 ? 'Its trace' : `Its ${traceIds.length} traces, joined`
  const links = traceIds.flatMap(id => [' ', element('a', { href: `mesh/trace/${id}` }, id)])
  const why = [...new Set(found.map(each => each.why).filter(Boolean))]
  return element(
    'div',
    {},
    element('h3', {}, text),
    spans.length > 0 ? waterfall(spans) : element('p', { class: 'quiet' }, why.join('; ') || 'It has not arrived.'),
    element('p', { class: 'quiet' }, 'As JSON:', ...links),
  )
}

/** What is known of one service. */
export function serviceDetail(name, mesh) {
  const service = mesh.services.find(each => each.name === name)
  const shown = name === '(callers)' ? 'Callers' : name
  if (service === undefined) return element('p', {}, `Nothing is known of ${shown} here.`)
  const { kind, instances, rate, errors, ownMs, origin } = service
  const list = element('dl')
  const fact = (label, ...values) => list.append(element('dt', {}, label), element('dd', {}, ...values))
  const kinds = {
    callers: 'whoever calls and has no sidecar here',
    edge: 'the edge of the mesh',
    service: 'a service with a sidecar',
    neighbour: 'a service that is called; what it calls, its own sidecar knows',
    external: 'outside the mesh: its own word on failures is not taken',
  }
  fact('Is', kinds[kind])
  if (instances.length > 0) fact('Sidecars', instances.join(', '))
  fact('Requests', `${rateText(rate)} a second, ${percentText(errors)} fail`)
  if (ownMs !== undefined) fact('Own time', `${ownMs.toFixed(1)} ms a request, calls not counted`)
  if (origin !== undefined) {
    fact('Failures begin here', element('strong', { class: 'bad' }, `${origin.cause}, since ${clock(origin.since)}`))
  }
  const calls = mesh.edges.filter(({ from, to }) => from === name || to === name)
  const own = mesh.failures.filter(failure => failure.origin === name || failure.path.includes(name))
  return element(
    'div',
    {},
    list,
    element('h3', {}, 'Calls'),
    callTable(calls),
    element('h3', {}, 'Failures it had a part in'),
    failureTable(own),
  )
}

export function callTable(edges) {
  if (edges.length === 0) return element('p', { class: 'quiet' }, 'None yet.')
  return table(
    ['Caller', 'Called', 'A second', 'Fail', 'Since start'],
    edges.map(({ from, to, rate, errors, total, failed }) => [
      from,
      to,
      element('td', { class: 'number' }, rateText(rate)),
      element('td', { class: errors > 0 ? 'number bad' : 'number' }, percentText(errors)),
      element('td', { class: 'number' }, failed > 0 ? `${total}, ${failed} failed` : String(total)),
    ]),
  )
}

export function toldTable(told) {
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
