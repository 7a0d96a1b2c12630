/**
 * `/failures` and `/failures/<id>`: what failed, where it began (failure-origin.md). No endpoint of Envoy's.
 *
 * `since` is a time (ISO 8601 or milliseconds since the epoch) or an age (`30s`, `5m`, `2h`).
 */
import { type AdminRequest, type AdminResponse, type Endpoint, json, text } from './message.ts'
import type { ServerControl } from './server-control.ts'

const MAX = 10_000
const DEFAULT = 100
const AGE_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** First in a line, in this order; what else a record has follows. */
const LEADING = ['at', 'id', 'role', 'origin', 'cause', 'link', 'confidence']

export function failureEndpoints(control: ServerControl): Endpoint[] {
  return [
    {
      path: '/failures',
      help: 'print recent failures with the hop each began at; /failures/<id> for one',
      below: true,
      params: [
        { name: 'id', help: 'Only the failure of this id' },
        { name: 'since', help: 'Only failures since then: a time, or an age such as 5m' },
        { name: 'limit', help: `How many, the newest (default ${DEFAULT}, at most ${MAX})` },
        { name: 'format', help: 'Format to use', choices: ['text', 'json'] },
      ],
      handle: request => failures(control, request),
    },
  ]
}

function failures(control: ServerControl, { path, query }: AdminRequest): AdminResponse {
  const below = path.slice('/failures/'.length)
  const id = (below !== '' ? below : query.get('id')) || undefined
  const since = sinceOf(query.get('since'))
  if (since === null) return text('since: a time (ISO 8601 or milliseconds) or an age (30s, 5m, 2h)\n', 400)
  const limit = query.has('limit') ? Number(query.get('limit')) : DEFAULT
  if (!Number.isInteger(limit) || limit < 1) return text(`limit: a number from 1 to ${MAX}\n`, 400)
  const list = control.failures.list({ id, since, limit: Math.min(limit, MAX) })
  if (list.length === 0 && below !== '') return text(`no failure ${below} among those remembered\n`, 404)
  if (query.get('format') === 'json') return json({ failures: list })
  return text(list.map(failure => `${line(failure)}\n`).join(''))
}

/** Milliseconds since the epoch; undefined when not given, null when not understood. */
function sinceOf(value: string | null): number | undefined | null {
  if (value === null || value === '') return undefined
  const age = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value)
  if (age !== null) return Date.now() - Number(age[1]) * AGE_MS[age[2]!]!
  const time = /^\d+$/.test(value) ? Number(value) : Date.parse(value)
  return Number.isNaN(time) ? null : time
}

/** `2026-11-21T08:13:40.727Z id=5f2c… role=origin origin=d cause=connect_refused link=c>d …` */
function line(failure: object): string {
  const fields = Object.entries(failure) as [string, unknown][]
  const rank = (name: string) => (LEADING.includes(name) ? LEADING.indexOf(name) : LEADING.length)
  return fields
    .filter(([, value]) => value !== undefined && value !== '')
    .sort(([a], [b]) => rank(a) - rank(b))
    .map(([name, value]) => {
      if (name === 'at') return typeof value === 'number' ? new Date(value).toISOString() : String(value)
      const shown = typeof value === 'string' ? value : JSON.stringify(value)
      return `${name}=${/\s/.test(shown) ? JSON.stringify(shown) : shown}`
    })
    .join(' ')
}
