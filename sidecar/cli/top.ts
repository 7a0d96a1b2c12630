/** `hopwise top`: the routes in use, live, as a table: how many requests, how long they take, where failures begin. */
import type { CliIo } from '../base/verb.ts'
import { operationOf } from '../failure-origin/call-target.ts'
import { MAX_RPS, type TapEnd } from '../observability/tap.ts'
import { ADMIN_HELP, AdminClient } from './admin-client.ts'
import { command, seconds, UsageError } from './command.ts'
import { painter, tableText } from './table.ts'
import { lostText, TAP_OPTIONS, tapParameters, watch } from './tap.ts'

export const topHelp = `usage: hopwise top [--admin HOST:PORT] [--by path|route] [FILTER …] [--for SECONDS] [--json]

Shows what passes a sidecar, a line per direction, method and path: requests since the start of the command, best, worst
and last latency (to the head of the response), how many succeeded, and which service began the most failures.
On a terminal the table is renewed every second until interrupted; elsewhere it comes once, after --for (10 s).

${ADMIN_HELP}
  --by path|route    what makes a line: the path, with segments that look like values made one (/orders/:), or the route
  --proxy in|out  --method METHOD  --path PREFIX  --authority HOST  --cluster NAME  --route NAME  --from IP
  --status STATUS  --origin NAME  --cause CAUSE  --failed  --slower MS
  --max-rps N        requests a second at most (1000); what is beyond is told as lost
  --for SECONDS      end after this time
  --json             the table once, as JSON

  hopwise top --proxy in
  hopwise top --by route --for 30 --json

Exit codes: 0 ended as asked, 1 no answer or the sidecar ended, 2 wrong command line, 130 interrupted.
`

const DEFAULT_SECONDS = 10
const RENEW_MS = 1000
/** Lines told apart; what comes later is one line more. */
const MAX_LINES = 1000

export const top = command(
  'top',
  topHelp,
  { ...TAP_OPTIONS, by: { type: 'string' }, for: { type: 'string' }, json: { type: 'boolean' } },
  async ({ values, positionals, io }) => {
    if (positionals.length > 0) throw new UsageError(`what to show is said by options, not by '${positionals[0]}'`)
    const by = values.by ?? 'path'
    if (by !== 'path' && by !== 'route') throw new UsageError(`--by: path or route, not '${by}'`)
    const parameters = tapParameters(values)
    if (!parameters.has('max_rps')) parameters.set('max_rps', String(Math.min(1000, MAX_RPS)))
    const live = io.isTerminal && values.json !== true
    const forSeconds = seconds('--for', values.for) ?? (live ? undefined : DEFAULT_SECONDS)
    const admin = AdminClient.of(values.admin)
    const table = new TopTable(by)
    const screen = live ? new Screen(io, () => table.text(io, admin.address)) : undefined
    try {
      for await (const message of watch(admin, parameters, forSeconds)) {
        if (message.kind === 'start') screen?.begin()
        else if (message.kind === 'end') table.add(message)
        else if (message.kind === 'lost') table.lost(message.requests, message.why)
      }
    } finally {
      screen?.end()
    }
    if (values.json === true) io.out(`${JSON.stringify(table.json(), undefined, 2)}\n`)
    else io.out(table.text(io, admin.address))
    return 0
  },
)

interface Line {
  readonly proxy: 'in' | 'out'
  readonly method: string
  readonly what: string
  readonly cluster: string
  count: number
  successes: number
  best: number
  worst: number
  last: number
  /** `orders: timeout`, with how often. */
  readonly origins: Map<string, number>
}

class TopTable {
  readonly #by: 'path' | 'route'
  readonly #lines = new Map<string, Line>()
  readonly #lost = new Map<string, number>()

  constructor(by: 'path' | 'route') {
    this.#by = by
  }

  add(event: TapEnd): void {
    const { proxy, method, path, route, cluster, origin, cause } = event
    let what = this.#by === 'path' ? operationOf(path) : route === '' ? '-' : route
    let key = JSON.stringify([proxy, method, what, cluster])
    if (!this.#lines.has(key) && this.#lines.size >= MAX_LINES) {
      what = '(others)'
      key = JSON.stringify([proxy, method, what, cluster])
    }
    const ms = event.latencyMs < 0 ? event.durationMs : event.latencyMs
    let line = this.#lines.get(key)
    if (line === undefined) {
      line = { proxy, method, what, cluster, count: 0, successes: 0, best: ms, worst: ms, last: ms, origins: new Map() }
      this.#lines.set(key, line)
    }
    line.count++
    if (succeeded(event)) line.successes++
    line.best = Math.min(line.best, ms)
    line.worst = Math.max(line.worst, ms)
    line.last = ms
    if (origin === '') return
    const blamed = `${origin}: ${cause}`
    if (line.origins.has(blamed) || line.origins.size < 32)
      line.origins.set(blamed, (line.origins.get(blamed) ?? 0) + 1)
  }

  lost(requests: number, why: string): void {
    this.#lost.set(why, (this.#lost.get(why) ?? 0) + requests)
  }

  text(io: CliIo, address: string): string {
    const paint = painter(io.colours)
    const heads = [
      'PROXY',
      'METHOD',
      this.#by === 'path' ? 'PATH' : 'ROUTE',
      'CLUSTER',
      'COUNT',
      'BEST',
      'WORST',
      'LAST',
    ]
    const rows = this.#sorted.map(line => [
      line.proxy,
      line.method,
      line.what,
      line.cluster === '' ? '-' : line.cluster,
      String(line.count),
      milliseconds(line.best),
      milliseconds(line.worst),
      milliseconds(line.last),
      `${successPercent(line).toFixed(2)}%`,
      worst(line)?.join(' ×') ?? '-',
    ])
    const [head = '', ...lines] = tableText([...heads, 'SUCCESS', 'ORIGIN'], rows).split(/(?<=\n)/)
    const lost = [...this.#lost].map(([why, requests]) => `${paint(lostText({ requests, why }), 'yellow')}\n`).join('')
    const body = lines.map((line, i) => (successPercent(this.#sorted[i]!) < 100 ? paint(line, 'red') : line)).join('')
    return `${paint(head, 'bold')}${body}${rows.length === 0 ? `no requests at ${address} yet\n` : ''}${lost}`
  }

  json() {
    return {
      lines: this.#sorted.map(({ what, origins, ...line }) => ({
        ...line,
        [this.#by]: what,
        successPercent: successPercent(line),
        origins: Object.fromEntries(origins),
      })),
      lost: Object.fromEntries(this.#lost),
    }
  }

  get #sorted(): Line[] {
    return [...this.#lines.values()].sort((a, b) => b.count - a.count || (a.what < b.what ? -1 : 1))
  }
}

/** What is no failure is a success: an application's own 404 answers the question. */
function succeeded({ status, grpcStatus, origin }: TapEnd): boolean {
  return origin === '' && status > 0 && status < 500 && grpcStatus <= 0
}

function successPercent({ successes, count }: Pick<Line, 'successes' | 'count'>): number {
  return (100 * successes) / count
}

function worst({ origins }: Line): [string, number] | undefined {
  return [...origins].sort((a, b) => b[1] - a[1])[0]
}

function milliseconds(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)}µs`
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)}ms` : `${(ms / 1000).toFixed(2)}s`
}

/** The terminal's other screen, so that what stood there comes back; renewed until the end. */
class Screen {
  readonly #io: CliIo
  readonly #text: () => string
  #timer: NodeJS.Timeout | undefined

  constructor(io: CliIo, text: () => string) {
    this.#io = io
    this.#text = text
  }

  begin(): void {
    this.#io.out('\u001b[?1049h\u001b[?25l')
    process.once('SIGINT', this.#interrupted)
    process.once('SIGTERM', this.#interrupted)
    this.#draw()
    this.#timer = setInterval(() => this.#draw(), RENEW_MS)
  }

  end(): void {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    process.off('SIGINT', this.#interrupted)
    process.off('SIGTERM', this.#interrupted)
    this.#io.out('\u001b[?25h\u001b[?1049l')
  }

  readonly #interrupted = () => {
    this.end()
    this.#io.out(this.#text())
    process.exit(130)
  }

  #draw(): void {
    const { rows = 24, columns = 80 } = process.stdout
    const lines = this.#text()
      .split('\n')
      .slice(0, rows - 1)
    // A line that is cut must not leave its colour on.
    const shown = lines.map(line => (plainLength(line) > columns ? `${cut(line, columns)}\u001b[0m` : line))
    this.#io.out(`\u001b[H${shown.map(line => `${line}\u001b[K`).join('\r\n')}\u001b[J`)
  }
}

const ESCAPES = /\u001b\[\d+m/g

function plainLength(line: string): number {
  return line.replace(ESCAPES, '').length
}

/** The first `columns` characters, escapes not counted. */
function cut(line: string, columns: number): string {
  let out = ''
  let left = columns
  for (const part of line.split(/(\u001b\[\d+m)/)) {
    if (part.startsWith('\u001b[')) out += part
    else {
      out += part.slice(0, left)
      left -= Math.min(left, part.length)
    }
  }
  return out
}
