/** `hopwise tap`: requests as they pass a sidecar, in Linkerd's lines, with where failures began on `end`. */
import { DEFAULT_MAX_RPS, type TapEvent } from '../observability/tap.ts'
import { tapLine } from '../observability/tap-query.ts'
import { ADMIN_HELP, ADMIN_OPTION, AdminClient } from './admin-client.ts'
import { CommandError, command, seconds, UsageError, wholeNumber } from './command.ts'
import { type Paint, painter } from './table.ts'

export const tapHelp = `usage: hopwise tap [--admin HOST:PORT] [FILTER …] [--json] [--count N] [--for SECONDS]

Shows requests as they pass, three lines each: req when it came, rsp when its answer began, end when it was over. end says
for what failed which service began it (origin=), why (cause=) and the way it came (hops=).

${ADMIN_HELP}
  --proxy in|out     requests to the application, or its calls
  --method METHOD    --path PREFIX    --authority HOST    --cluster NAME    --route NAME    --from IP
  --status STATUS    503, 5xx or 500-504; 0 for requests that got no answer
  --origin NAME      --cause CAUSE    only failures that began there, or for that reason
  --failed           only what failed
  --slower MS        only what took longer
  --max-rps N        requests a second at most (${DEFAULT_MAX_RPS}); what is beyond is told as lost
  --json             one JSON object per line
  --count N          end after N requests
  --for SECONDS      end after this time

With --status, --origin, --cause, --failed and --slower the three lines come together, at the end of the request.

  hopwise tap --proxy out --path /orders
  hopwise tap --failed --origin payments

Exit codes: 0 ended as asked, 1 no answer or the sidecar ended, 2 wrong command line, 130 interrupted.
`

/** Of the filters of `/tap` each is an option of the same name. */
const FILTERS = [
  'proxy',
  'method',
  'path',
  'authority',
  'cluster',
  'route',
  'from',
  'status',
  'origin',
  'cause',
] as const

interface Lost {
  readonly kind: 'lost'
  readonly requests: number
  readonly why: string
}

type TapMessage = TapEvent | Lost | { readonly kind: 'start' }

export const TAP_OPTIONS = {
  ...ADMIN_OPTION,
  proxy: { type: 'string' },
  method: { type: 'string' },
  path: { type: 'string' },
  authority: { type: 'string' },
  cluster: { type: 'string' },
  route: { type: 'string' },
  from: { type: 'string' },
  status: { type: 'string' },
  origin: { type: 'string' },
  cause: { type: 'string' },
  failed: { type: 'boolean' },
  slower: { type: 'string' },
  'max-rps': { type: 'string' },
} as const

export const tap = command(
  'tap',
  tapHelp,
  { ...TAP_OPTIONS, json: { type: 'boolean' }, count: { type: 'string' }, for: { type: 'string' } },
  async ({ values, positionals, io }) => {
    if (positionals.length > 0) throw new UsageError(`what to show is said by options, not by '${positionals[0]}'`)
    const admin = AdminClient.of(values.admin)
    const count = wholeNumber('--count', values.count, Number.POSITIVE_INFINITY, 1, 1e9)
    const paint = painter(io.colours)
    let ended = 0
    const watching = watch(admin, tapParameters(values), seconds('--for', values.for))
    for await (const message of watching) {
      if (message.kind === 'start') {
        io.error(`tapping ${admin.address}\n`)
        continue
      }
      if (values.json === true) io.out(`${JSON.stringify(message)}\n`)
      else if (message.kind === 'lost') io.error(`${lostText(message)}\n`)
      else io.out(`${coloured(message, paint)}\n`)
      if (message.kind === 'end' && ++ended >= count) break
    }
    return 0
  },
)

export function lostText({ requests, why }: Pick<Lost, 'requests' | 'why'>): string {
  return why === 'rate'
    ? `lost requests=${requests}: more than --max-rps`
    : `lost requests=${requests}: they came faster than they were read`
}

/** The parameters of `/tap` from the options of the same names. */
export function tapParameters(values: Readonly<Record<string, unknown>>): URLSearchParams {
  const parameters = new URLSearchParams()
  for (const name of FILTERS) if (typeof values[name] === 'string') parameters.set(name, values[name])
  if (values['failed'] === true) parameters.set('failed', 'true')
  if (typeof values['slower'] === 'string') parameters.set('slower', values['slower'].replace(/ms$/, ''))
  if (typeof values['max-rps'] === 'string') parameters.set('max_rps', values['max-rps'])
  return parameters
}

/** What the sidecar tells, until the time is over; throws when it ends by itself. */
export async function* watch(
  admin: AdminClient,
  parameters: URLSearchParams,
  forSeconds: number | undefined,
): AsyncGenerator<TapMessage, void, undefined> {
  const stop = new AbortController()
  const timer = forSeconds === undefined ? undefined : setTimeout(() => stop.abort(), forSeconds * 1000)
  try {
    for await (const line of admin.lines(`/tap?${parameters}`, stop.signal)) {
      if (line !== '') yield JSON.parse(line) as TapMessage
    }
    if (!stop.signal.aborted) throw new CommandError(`the sidecar at ${admin.address} has ended the tap`)
  } finally {
    clearTimeout(timer)
    stop.abort()
  }
}

function coloured(event: TapEvent, paint: Paint): string {
  const line = tapLine(event)
  if (event.kind === 'req') return line
  if (event.kind === 'end') return event.origin === '' ? paint(line, 'dim') : paint(line, 'red')
  return event.status >= 500 ? paint(line, 'red') : event.status >= 400 ? paint(line, 'yellow') : paint(line, 'green')
}
