/**
 * `hopwise failures`: what running sidecars have located, one line per failure; `--follow` goes on.
 *
 * A failure leaves several entries, at one sidecar (begun, then retried) and at the others that it passed. They are put
 * together by id, so that one failure is one line; asked for with several sidecars it names the deepest origin.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { CliIo } from '../base/verb.ts'
import { visible } from '../base/visible-text.ts'
import type { FailureEntry } from '../failure-origin/failure-log.ts'
import { type LocatedFailure, locateFailures } from '../failure-origin/locate.ts'
import { ADMIN_HELP, AdminClient } from './admin-client.ts'
import { CommandError, command, UsageError, wholeNumber } from './command.ts'
import { type Paint, painter } from './table.ts'

export const failuresHelp = `usage: hopwise failures [--admin HOST:PORT …] [--follow] [--json] [--since TIME] [FILTER …]

Lists the failures that sidecars have located, one line each: when, what became of it, which service began it and why,
how that is known.

${ADMIN_HELP}
                     given several times: the sidecars together, which is how the deepest origin is found
  -f, --follow       go on listing as they happen, until interrupted
  --json             one JSON object per line: the failure, and in "entries" each sidecar's part in it
  --since TIME       a time (ISO 8601) or an age (30s, 5m, 2h)
  --limit N          the newest N (50)
  --id ID            only this failure, by any of its ids
  --origin NAME      only those that began there
  --cause CAUSE      only of this cause (connect_refused, timeout, app_error, …)
  --outcome OUTCOME  only visible, masked, retried, background or cancelled ones

  hopwise failures --admin 127.0.0.1:9901
  hopwise failures --follow --origin orders
  hopwise failures --admin a:9901 --admin b:9901 --since 5m --json

Exit codes: 0 listed (there may be none), 1 no answer, 2 wrong command line, 130 interrupted.
`

/** How often `--follow` asks. */
const POLL_MS = 500
/** The parts of one failure come within this time of each other; `--follow` tells it when it has been quiet so long. */
const GATHER_MS = 1000
/** Entries asked for at a time: the most a sidecar remembers. */
const MAX_ENTRIES = 10_000
/** Clocks of worker threads and the order of writing differ by less than this. */
const OVERLAP_MS = 2000

interface Filter {
  readonly origin: string | undefined
  readonly cause: string | undefined
  readonly outcome: string | undefined
}

type Write = (failure: LocatedFailure) => void

export const failures = command(
  'failures',
  failuresHelp,
  {
    admin: { type: 'string', multiple: true },
    follow: { type: 'boolean', short: 'f' },
    json: { type: 'boolean' },
    since: { type: 'string' },
    limit: { type: 'string' },
    id: { type: 'string' },
    origin: { type: 'string' },
    cause: { type: 'string' },
    outcome: { type: 'string' },
  },
  async ({ values, positionals, io }) => {
    if (positionals.length > 0) throw new UsageError(`takes no arguments, but was given '${positionals[0]}'`)
    const limit = wholeNumber('--limit', values.limit, 50, 1, MAX_ENTRIES)
    const sidecars = (values.admin ?? [undefined]).map(address => AdminClient.of(address))
    const query = new URLSearchParams({ format: 'json', limit: String(MAX_ENTRIES) })
    if (values.since !== undefined) query.set('since', values.since)
    if (values.id !== undefined) query.set('id', values.id)
    const { origin, cause, outcome } = values
    const filter: Filter = { origin, cause, outcome }
    const paint = painter(io.colours)
    const write: Write = failure => io.out(`${values.json === true ? asJson(failure) : line(failure, paint)}\n`)

    const entries = (await Promise.all(sidecars.map(sidecar => entriesOf(sidecar, query)))).flat()
    const found = located(entries, filter).slice(-limit)
    for (const failure of found) write(failure)
    if (values.follow === true) return await follow(sidecars, query, entries, filter, write, io)
    if (found.length === 0 && values.json !== true) io.out('no failures\n')
    return 0
  },
)

async function entriesOf(sidecar: AdminClient, query: URLSearchParams): Promise<FailureEntry[]> {
  return (await sidecar.json<{ failures: FailureEntry[] }>(`/failures?${query}`)).failures
}

function located(entries: readonly FailureEntry[], filter: Filter): LocatedFailure[] {
  // Asked alone, a sidecar's own callers are those who see a failure; of several, those of whoever was asked first are.
  const seenAt = new Set(entries.map(({ service }) => service))
  return locateFailures(entries, seenAt)
    .filter(
      ({ merged, outcome }) =>
        (filter.origin === undefined || merged.origin === filter.origin) &&
        (filter.cause === undefined || merged.cause === filter.cause) &&
        (filter.outcome === undefined || outcome === filter.outcome),
    )
    .sort((a, b) => a.merged.firstAt - b.merged.firstAt)
}

/** Never ends by itself: a sidecar that is gone may come back. */
async function follow(
  sidecars: readonly AdminClient[],
  query: URLSearchParams,
  known: readonly FailureEntry[],
  filter: Filter,
  write: Write,
  io: CliIo,
): Promise<never> {
  const keyOf = (entry: FailureEntry) => `${entry.service} ${entry.at} ${entry.seq}`
  const seen = new Map(known.map(entry => [keyOf(entry), entry.at]))
  const gone = new Set<AdminClient>()
  /** Not told yet, and when the last of them came. */
  let waiting: { readonly entry: FailureEntry; readonly cameMs: number }[] = []
  let since = Math.max(Date.now(), ...known.map(({ at }) => at))
  for (;;) {
    await delay(POLL_MS)
    query.set('since', String(since - OVERLAP_MS))
    const answers = await Promise.all(
      sidecars.map(async sidecar => {
        try {
          const entries = await entriesOf(sidecar, query)
          if (gone.delete(sidecar)) io.error(`hopwise failures: ${sidecar.address} answers again\n`)
          return entries
        } catch (error) {
          if (!(error instanceof CommandError)) throw error
          if (!gone.has(sidecar)) io.error(`hopwise failures: ${error.message}; trying again\n`)
          gone.add(sidecar)
          return []
        }
      }),
    )
    const now = performance.now()
    for (const entry of answers.flat()) {
      if (seen.has(keyOf(entry))) continue
      seen.set(keyOf(entry), entry.at)
      since = Math.max(since, entry.at)
      waiting.push({ entry, cameMs: now })
    }
    for (const [key, at] of seen) if (at < since - 2 * OVERLAP_MS) seen.delete(key)
    // Whole failures only: one of whose parts some are young is told later.
    const young = new Set(waiting.filter(({ cameMs }) => now - cameMs < GATHER_MS).flatMap(({ entry }) => idsOf(entry)))
    const ripe = waiting.filter(({ entry }) => !idsOf(entry).some(id => young.has(id)))
    if (ripe.length === 0) continue
    waiting = waiting.filter(one => !ripe.includes(one))
    for (const failure of located(
      ripe.map(({ entry }) => entry),
      filter,
    )) {
      write(failure)
    }
  }
}

function idsOf({ id, aliases }: FailureEntry): readonly string[] {
  return [id, ...aliases]
}

const OUTCOME_COLOURS = {
  visible: 'red',
  masked: 'yellow',
  retried: 'yellow',
  background: 'dim',
  cancelled: 'dim',
} as const

function line({ merged, outcome, confidence, path, attempts }: LocatedFailure, paint: Paint): string {
  const { firstAt, origin, cause, subCause, link, id, entries } = merged
  const answered = entries.find(entry => entry.status > 0)
  const why = subCause === '' ? cause : `${cause}/${subCause}`
  const fields = [
    ...(link === '' ? [] : [`link=${link}`]),
    ...(answered === undefined ? [] : [`status=${answered.status}`]),
    ...(answered === undefined || answered.grpcStatus < 0 ? [] : [`grpc-status=${answered.grpcStatus}`]),
    ...(attempts > 1 ? [`attempts=${attempts}`] : []),
    `path=${path.join(',')}`,
    `evidence=${confidence}`,
    `id=${id}`,
  ]
  const time = new Date(firstAt).toISOString().slice(11, 23)
  const details = entries.find(entry => entry.id === id)?.details ?? ''
  const text = details === '' ? '' : ` ${paint(`(${visible(details)})`, 'dim')}`
  const blamed = paint(visible(`${origin}: ${why}`), 'bold')
  return `${paint(time, 'dim')} ${paint(outcome.padEnd(10), OUTCOME_COLOURS[outcome])} ${blamed} ${visible(fields.join(' '))}${text}`
}

function asJson({ merged, outcome, confidence, path, traceId, attempts }: LocatedFailure): string {
  const { id, ids, origin, cause, subCause, by, link, firstAt, entries } = merged
  const at = new Date(firstAt).toISOString()
  return JSON.stringify({
    id,
    at,
    outcome,
    origin,
    cause,
    subCause,
    link,
    path,
    by,
    confidence,
    attempts,
    traceId,
    ids,
    entries,
  })
}
