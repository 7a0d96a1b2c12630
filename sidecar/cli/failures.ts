/** `hopwise failures`: what a running sidecar has located, one line per failure; `--follow` goes on. */
import { parseArgs } from 'node:util'
import type { CliIo } from '../base/verb.ts'

export const failuresHelp = `usage: hopwise failures [--admin HOST:PORT] [--follow] [--json] [--id ID] [--limit N]

Lists the failures that a running sidecar has located: which service began it, why, and how that is known.

  --admin HOST:PORT  its admin listener (127.0.0.1:9901)
  --follow           go on listing as they happen, until interrupted
  --json             one JSON object per line
  --id ID            only this failure
  --limit N          the newest N (50)

  hopwise failures --admin 127.0.0.1:9901
  hopwise failures --follow --json
`

/** How often `--follow` asks. */
const POLL_MS = 500

interface Entry {
  readonly seq: number
  readonly at: number
  readonly id: string
  readonly role: string
  readonly origin: string
  readonly cause: string
  readonly link: string
  readonly path: readonly string[] | string
  readonly confidence: string
  readonly status: number
}

export async function failures(args: string[], io: CliIo): Promise<number> {
  let values: ReturnType<typeof parse>['values']
  try {
    values = parse(args).values
  } catch (error) {
    io.error(`hopwise failures: ${(error as Error).message}\n\n${failuresHelp}`)
    return 2
  }
  if (values.help === true) {
    io.out(failuresHelp)
    return 0
  }
  const admin = values.admin ?? '127.0.0.1:9901'
  let since = 0
  let lastSeq = 0
  let limit = values.limit ?? '50'
  for (;;) {
    const query = new URLSearchParams({ format: 'json', limit, ...(since > 0 && { since: String(since) }) })
    if (values.id !== undefined) query.set('id', values.id)
    let found: Entry[]
    try {
      const response = await fetch(`http://${admin}/failures?${query}`)
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
      const body = (await response.json()) as Entry[] | { failures: Entry[] }
      found = Array.isArray(body) ? body : body.failures
    } catch (error) {
      const cause = (error as { cause?: Error }).cause ?? (error as Error)
      io.error(`hopwise failures: no answer from the admin listener at ${admin}: ${cause.message}\n`)
      return 1
    }
    for (const entry of found) {
      if (entry.seq <= lastSeq) continue
      lastSeq = entry.seq
      since = entry.at
      io.out(`${values.json === true ? JSON.stringify(entry) : line(entry)}\n`)
    }
    if (values.follow !== true) {
      if (found.length === 0 && values.json !== true) io.out('no failures\n')
      return 0
    }
    limit = '1000'
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
}

function line(entry: Entry): string {
  const time = new Date(entry.at).toISOString().slice(11, 23)
  const path = typeof entry.path === 'string' ? entry.path : entry.path.join(',')
  const link = entry.link === '' ? '' : ` (${entry.link})`
  return `${time} ${entry.role.padEnd(10)} ${entry.origin}: ${entry.cause}${link} status=${entry.status} path=${path} evidence=${entry.confidence} id=${entry.id}`
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      admin: { type: 'string' },
      follow: { type: 'boolean', short: 'f' },
      json: { type: 'boolean' },
      id: { type: 'string' },
      limit: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
}
