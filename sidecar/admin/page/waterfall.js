/** A trace of Zipkin's as a table with a bar per span, callers above what they called. */
import { element, svg, table } from './elements.js'

const MAX_SPANS = 300

export function waterfall(spans) {
  const timed = spans.filter(span => span.timestamp !== undefined)
  if (timed.length === 0) return element('p', { class: 'quiet' }, 'The trace has not arrived.')
  const start = Math.min(...timed.map(span => span.timestamp))
  const end = Math.max(...timed.map(span => span.timestamp + (span.duration ?? 0)))
  const all = ordered(timed)
  const rows = all.slice(0, MAX_SPANS).map(({ span, depth }) => row(span, depth, start, Math.max(1, end - start)))
  const found = table(['Service', 'Span', 'Status', 'ms', `0 to ${((end - start) / 1000).toFixed(1)} ms`], rows)
  found.classList.add('waterfall')
  if (all.length <= MAX_SPANS) return found
  return element('div', {}, found, element('p', { class: 'quiet' }, `and ${all.length - MAX_SPANS} more spans`))
}

/** Depth first, by time; a span whose parent is not there is a root of its own. */
function ordered(spans) {
  const ids = new Set(spans.map(span => span.id))
  const children = new Map()
  for (const span of spans) {
    const parent =
      span.parentId !== undefined && span.parentId !== span.id && ids.has(span.parentId) ? span.parentId : ''
    children.set(parent, [...(children.get(parent) ?? []), span])
  }
  const result = []
  const seen = new Set()
  const visit = (id, depth) => {
    for (const span of (children.get(id) ?? []).sort((a, b) => a.timestamp - b.timestamp)) {
      if (seen.has(span)) continue
      seen.add(span)
      result.push({ span, depth })
      visit(span.id, depth + 1)
    }
  }
  visit('', 0)
  return result
}

function row({ localEndpoint, name, kind, tags = {}, timestamp, duration = 0 }, depth, start, total) {
  const error = tags.error !== undefined
  const origin = tags['failure.role'] === 'origin'
  const x = ((timestamp - start) / total) * 100
  const width = Math.max(0.4, (duration / total) * 100)
  const bar = svg(
    'svg',
    { viewBox: '0 0 100 10', preserveAspectRatio: 'none', width: '100%', height: 12, 'aria-hidden': 'true' },
    svg('rect', { x: 0, y: 4.5, width: 100, height: 1, class: 'rail' }),
    svg('rect', { x, y: 1, width, height: 8, class: error ? 'span error' : 'span' }),
  )
  const status = tags['http.status_code'] ?? tags['http.response.status_code'] ?? ''
  const began = origin ? `✗ ${tags['failure.cause']} ` : ''
  return {
    'data-origin': origin ? tags['failure.cause'] : undefined,
    cells: [
      `${'\u2003'.repeat(Math.min(depth, 12))}${localEndpoint?.serviceName ?? '?'}`,
      `${(kind ?? '').toLowerCase()} ${name ?? ''}`,
      element('td', { class: error ? 'bad' : '' }, `${began}${status}`),
      element('td', { class: 'number' }, (duration / 1000).toFixed(1)),
      element('td', { class: 'wide' }, bar),
    ],
  }
}
