/** `/stats` in its formats, `/stats/prometheus`, `/reset_counters`, and as much of `/stats/recentlookups` as makes sense. */

import { ProcessMetrics } from '../observability/process-metrics.ts'
import {
  OPEN_METRICS_FORMAT,
  PrometheusWriter,
  type ScrapeOptions,
  TEXT_FORMAT,
  wantsOpenMetrics,
} from '../observability/prometheus.ts'
import { Pattern, PatternError } from '../observability/stats-regex.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import {
  BUCKETS_MODES,
  type BucketsMode,
  STAT_TYPES,
  type StatsQuery,
  type StatType,
  statsJson,
  statsText,
} from '../observability/stats-text.ts'
import { type AdminRequest, type AdminResponse, type Endpoint, HTML, JSON_TYPE, ok, respond, text } from './message.ts'
import type { ServerControl } from './server-control.ts'

/** Pages up to here are written at once (some 2 ms); longer ones in chunks with the event loop in between. */
const LINES_AT_ONCE = 6000

const USED_ONLY = {
  name: 'usedonly',
  help: 'Only include stats that have been written by system since restart',
  flag: true,
}
const FILTER = { name: 'filter', help: 'Regular expression (Google re2) for filtering stats' }
const INVERT = { name: 'invert_filter', help: 'Invert the filter regex', flag: true }

export function statsEndpoints(control: ServerControl, withProcessMetrics: boolean): Endpoint[] {
  const pages = new StatsPages(control, withProcessMetrics)
  let tracksLookups = false
  return [
    {
      path: '/stats',
      help: 'print server stats',
      params: [
        USED_ONLY,
        FILTER,
        INVERT,
        { name: 'format', help: 'Format to use', choices: ['html', 'active-html', 'text', 'json'] },
        { name: 'type', help: 'Stat types to include.', choices: STAT_TYPES },
        { name: 'histogram_buckets', help: 'Histogram bucket display mode', choices: BUCKETS_MODES },
      ],
      handle: request => pages.stats(request),
    },
    {
      path: '/stats/prometheus',
      help: 'print server stats in prometheus format, in OpenMetrics where Accept asks for it',
      params: [
        USED_ONLY,
        { name: 'text_readouts', help: 'Render text_readouts as new gaugues with value 0', flag: true },
        FILTER,
        INVERT,
        { name: 'histogram_buckets', help: 'Histogram bucket display mode', choices: ['cumulative', 'summary'] },
      ],
      handle: request => pages.prometheus(request),
    },
    {
      path: '/reset_counters',
      help: 'reset all counters to zero',
      mutates: true,
      handle: () => {
        control.resetCounters()
        return ok()
      },
    },
    // Names are looked up when configuration loads and never on the path, so there is nothing to track: the endpoints
    // answer as Envoy's do where nothing was looked up.
    {
      path: '/stats/recentlookups',
      help: 'Show recent stat-name lookups',
      handle: () => {
        const off = 'Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n'
        return text(`${tracksLookups ? '   Count Lookup\n' : off}\ntotal: 0\n`)
      },
    },
    {
      path: '/stats/recentlookups/clear',
      help: 'clear list of stat-name lookups and counter',
      mutates: true,
      handle: ok,
    },
    {
      path: '/stats/recentlookups/disable',
      help: 'disable recording of reset stat-name lookup names',
      mutates: true,
      handle: () => {
        tracksLookups = false
        return ok()
      },
    },
    {
      path: '/stats/recentlookups/enable',
      help: 'enable recording of reset stat-name lookup names',
      mutates: true,
      handle: () => {
        tracksLookups = true
        return ok()
      },
    },
  ]
}

class StatsPages {
  readonly #control: ServerControl
  readonly #process: ProcessMetrics | undefined
  #writer: PrometheusWriter | undefined = undefined
  #writerStore: StatsStore | undefined = undefined

  constructor(control: ServerControl, withProcessMetrics: boolean) {
    this.#control = control
    this.#process = withProcessMetrics ? new ProcessMetrics() : undefined
  }

  async stats(request: AdminRequest): Promise<AdminResponse> {
    const { query } = request
    // A form sends every field: an empty one asks for nothing.
    const format = query.get('format') || 'text'
    if (format === 'prometheus') return this.prometheus(request)
    if (!['text', 'json', 'html', 'active-html'].includes(format)) {
      return text('usage: /stats?format=(html|active-html|json|prometheus|text)\n\n', 400)
    }
    const type = (query.get('type') || 'All') as StatType
    if (!STAT_TYPES.includes(type)) return text('invalid &type= param', 400)
    const buckets = bucketsOf(query, 'summary')
    if (buckets === undefined) return badBuckets()
    const filter = filterOf(query)
    if (typeof filter === 'string') return text(filter, 400)
    const statsQuery: StatsQuery = { usedOnly: query.has('usedonly'), filter, type, buckets }
    const store = await this.#control.stats()
    if (format === 'json') return respond(200, JSON_TYPE, statsJson(store, statsQuery))
    const page = statsText(store, statsQuery)
    if (format === 'text') return text(page)
    const escaped = page.replace(/&/g, '&amp;').replace(/</g, '&lt;')
    return respond(200, HTML, `<!DOCTYPE html>\n<title>stats</title>\n<pre>${escaped}</pre>\n`)
  }

  async prometheus({ query, headers }: AdminRequest): Promise<AdminResponse> {
    const buckets = bucketsOf(query, 'cumulative')
    if (buckets === undefined) return badBuckets()
    if (buckets !== 'cumulative' && buckets !== 'summary') {
      return text('unsupported prometheus histogram bucket mode', 400)
    }
    const filter = filterOf(query)
    if (typeof filter === 'string') return text(filter, 400)
    const options: ScrapeOptions = {
      openMetrics: wantsOpenMetrics(headers.get('accept')),
      usedOnly: query.has('usedonly'),
      textReadouts: query.has('text_readouts'),
      summary: buckets === 'summary',
      filter,
    }
    // Whoever filters looks for a stat of the proxy: Node's would only be in the way.
    const extra = this.#process !== undefined && filter === undefined ? await this.#process.text() : ''
    const store = await this.#control.stats()
    if (this.#writer === undefined || this.#writerStore !== store) {
      this.#writer = new PrometheusWriter(store, this.#control.tags)
      this.#writerStore = store
    }
    const contentType = options.openMetrics ? OPEN_METRICS_FORMAT : TEXT_FORMAT
    if (this.#writer.estimatedLines() <= LINES_AT_ONCE) {
      return respond(200, contentType, this.#writer.text(options, extra))
    }
    return respond(200, contentType, breathing(this.#writer.chunks(options, extra)))
  }
}

/** Gives the event loop a turn after each piece. */
async function* breathing(pieces: Iterable<string>): AsyncGenerator<string, void, undefined> {
  for (const piece of pieces) {
    yield piece
    await new Promise(setImmediate)
  }
}

function bucketsOf(query: URLSearchParams, fallback: BucketsMode): BucketsMode | undefined {
  const value = query.get('histogram_buckets')
  if (value === null || value === '') return fallback
  return BUCKETS_MODES.find(mode => mode === value)
}

function badBuckets(): AdminResponse {
  return text('usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n', 400)
}

/** The test the query asks for, undefined when it asks for none, a text when its regex is wrong. */
function filterOf(query: URLSearchParams): ((name: string) => boolean) | undefined | string {
  const source = query.get('filter')
  if (source === null || source === '') return undefined
  const inverted = query.has('invert_filter')
  try {
    const pattern = new Pattern(source)
    return name => pattern.found(name) !== inverted
  } catch (error) {
    if (error instanceof PatternError) return `Invalid re2 regex: ${error.message}`
    throw error
  }
}
