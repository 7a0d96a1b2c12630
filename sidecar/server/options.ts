/**
 * Command-line options of `hopwise run`: Envoy's, so that an Envoy command line works as it is, and a few of our own.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { MAX_WORKERS } from '../base/shared-buckets.ts'
import { nearest } from '../base/suggest.ts'

export interface ServerOptions {
  readonly configPath: string | undefined
  readonly configYaml: string | undefined
  readonly mode: 'serve' | 'validate'
  readonly strict: boolean
  /** With `--mode validate`: what is wrong as one JSON document. */
  readonly json: boolean
  readonly logLevel: string
  readonly componentLogLevel: string
  readonly logPath: string | undefined
  /** `json`, `text`, or a pattern as Envoy takes it (log-pattern.ts). */
  readonly logFormat: string | undefined
  readonly serviceCluster: string
  readonly serviceNode: string
  readonly serviceZone: string
  readonly concurrency: number
  readonly drainTimeS: number | undefined
  readonly drainDelayMs: number
  readonly drainStrategy: 'gradual' | 'immediate'
  /** How long an access log line may wait for others. Envoy: 10 s. */
  readonly fileFlushIntervalMs: number | undefined
  readonly adminAddressPath: string | undefined
  readonly extensions: readonly string[]
  /** Tags that every stat has (`--stats-tag name:value`). */
  readonly statsTags: readonly { readonly tagName: string; readonly fixedValue: string }[]
  readonly watch: boolean
  /** What follows `--`: the application to start after readiness and to end with. */
  readonly command: readonly string[]
  /** Options of Envoy that change nothing here, for one note each. */
  readonly withoutEffect: readonly string[]
}

export class UsageError extends Error {
  override name = 'UsageError'
}

const OPTIONS = {
  'config-path': { type: 'string', short: 'c' },
  'config-yaml': { type: 'string' },
  mode: { type: 'string' },
  strict: { type: 'boolean' },
  json: { type: 'boolean' },
  'log-level': { type: 'string', short: 'l' },
  'component-log-level': { type: 'string' },
  'log-path': { type: 'string' },
  'log-format': { type: 'string' },
  'service-cluster': { type: 'string' },
  'service-node': { type: 'string' },
  'service-zone': { type: 'string' },
  concurrency: { type: 'string' },
  'drain-time-s': { type: 'string' },
  'drain-delay': { type: 'string' },
  'drain-strategy': { type: 'string' },
  'admin-address-path': { type: 'string' },
  'file-flush-interval-msec': { type: 'string' },
  extension: { type: 'string', multiple: true },
  'stats-tag': { type: 'string', multiple: true },
  watch: { type: 'boolean' },
  'no-watch': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Accepted, because scripts pass them; each changes nothing, for the reason given. */
const WITHOUT_EFFECT: Readonly<Record<string, 'string' | 'boolean'>> = {
  'base-id': 'string', // no shared memory to name
  'use-dynamic-base-id': 'boolean',
  'base-id-path': 'string',
  'restart-epoch': 'string', // configuration is reloaded in place
  'hot-restart-version': 'boolean',
  'parent-shutdown-time-s': 'string',
  'disable-hot-restart': 'boolean',
  'enable-fine-grain-logging': 'boolean',
  'cpuset-threads': 'boolean',
  'allow-unknown-static-fields': 'boolean', // unknown fields are always an error: nothing is ignored in silence
  'reject-unknown-dynamic-fields': 'boolean',
  'ignore-unknown-dynamic-fields': 'boolean',
  'enable-mutex-tracing': 'boolean',
  'file-flush-min-size-kb': 'string',
  'local-address-ip-version': 'string',
  'socket-path': 'string',
  'socket-mode': 'string',
  'disable-extensions': 'string',
  'enable-core-dump': 'boolean',
  'skip-deprecated-logs': 'boolean',
  'log-format-escaped': 'boolean',
  'log-stacktrace-single-entry': 'boolean', // always
  'skip-hot-restart-on-no-parent': 'boolean',
  'skip-hot-restart-parent-stats': 'boolean',
}

export const RUN_HELP = `Usage: hopwise run -c FILE [OPTION …] [-- COMMAND …]

Runs the proxy on an Envoy v3 bootstrap configuration.

  -c, --config-path FILE       bootstrap in YAML or JSON
      --config-yaml TEXT       bootstrap as text; merged over the file's where both are given
      --mode serve|validate    validate: check the configuration and exit
      --json                   with --mode validate: what is wrong as one JSON document
      --strict                 refuse what Envoy refuses for form only
  -l, --log-level LEVEL        trace, debug, info, warning, error, critical, off (info)
      --component-log-level C:L,…   levels of single components, e.g. router:debug
      --log-path FILE          process log to a file instead of standard error
      --log-format json|text|PATTERN  a pattern as Envoy takes it, '[%Y-%m-%d %T.%e][%l][%n] %v'; without
                               one, text on a terminal and json elsewhere
      --service-cluster NAME   this sidecar's service; overrides node.cluster
      --service-node ID        overrides node.id
      --service-zone ZONE      overrides node.locality.zone
      --concurrency N          worker threads; 0 for one per core (1: no threads, everything in the main one)
      --drain-time-s SECONDS   longest wait for requests in flight: at SIGTERM (30), of listeners that go away (600)
      --drain-strategy gradual|immediate  connections of listeners that are drained end by and by over the drain
                               time, or each with its next response (gradual); at SIGTERM always the latter
      --drain-delay MS         go on accepting this long after SIGTERM, /ready already says no (0)
      --admin-address-path FILE  write the admin listener's address here
      --stats-tag NAME:VALUE   a label of every metric; may be repeated
      --extension FILE         load a filter of your own (TypeScript); may be repeated
      --no-watch               do not reload when the configuration file changes
  -- COMMAND …                 start COMMAND once ready, pass signals on, end with it

SIGHUP reloads the configuration, SIGUSR1 reopens log files, SIGTERM and SIGINT drain; a second one exits at once.

  hopwise run -c envoy.yaml
  hopwise run -c envoy.yaml --service-cluster orders -- node app.js
`

/** Throws {@link UsageError}, with a sentence for the terminal, when an argument is wrong. */
export function parseServerOptions(args: readonly string[]): ServerOptions | 'help' {
  const end = args.indexOf('--')
  const own = end < 0 ? args : args.slice(0, end)
  const known: Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }> = { ...OPTIONS }
  for (const [name, type] of Object.entries(WITHOUT_EFFECT)) known[name] = { type }
  for (const arg of own) {
    if (!arg.startsWith('--')) continue
    const name = arg.slice(2).split('=', 1)[0]!
    if (Object.hasOwn(known, name)) continue
    const guess = nearest(name, Object.keys(known))
    throw new UsageError(`no option --${name}${guess === undefined ? '' : `, did you mean --${guess}?`}`)
  }
  let values: Record<string, string | boolean | string[] | undefined>
  try {
    values = parseArgs({
      args: [...own],
      options: known as typeof OPTIONS,
      strict: true,
      allowPositionals: false,
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  if (values['help'] === true) return 'help'
  const text = (name: string): string | undefined => values[name] as string | undefined
  const whole = (name: string): number | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    if (!/^\d{1,9}$/.test(value)) throw new UsageError(`--${name} must be a whole number, not '${value}'`)
    return Number(value)
  }
  const oneOf = <T extends string>(name: string, allowed: readonly T[]): T | undefined => {
    const value = text(name)
    if (value === undefined || (allowed as readonly string[]).includes(value)) return value as T | undefined
    throw new UsageError(`--${name} must be ${allowed.join(' or ')}, not '${value}'`)
  }
  const mode = oneOf('mode', ['serve', 'validate', 'init_only'])
  if (values['json'] === true && mode !== 'validate') throw new UsageError('--json goes with --mode validate')
  if (text('config-path') === undefined && text('config-yaml') === undefined) {
    throw new UsageError('no configuration: give one with -c FILE or --config-yaml TEXT')
  }
  // 0 is one for each core, as in Envoy.
  const concurrency = whole('concurrency') === 0 ? availableParallelism() : (whole('concurrency') ?? 1)
  if (concurrency > MAX_WORKERS) throw new UsageError(`--concurrency must be at most ${MAX_WORKERS}`)
  return {
    configPath: text('config-path'),
    configYaml: text('config-yaml'),
    mode: mode === undefined || mode === 'serve' ? 'serve' : 'validate',
    strict: values['strict'] === true,
    json: values['json'] === true,
    logLevel: text('log-level') ?? 'info',
    componentLogLevel: text('component-log-level') ?? '',
    logPath: text('log-path'),
    logFormat: logFormat(text('log-format')),
    serviceCluster: text('service-cluster') ?? '',
    serviceNode: text('service-node') ?? '',
    serviceZone: text('service-zone') ?? '',
    concurrency,
    drainTimeS: whole('drain-time-s'),
    drainDelayMs: whole('drain-delay') ?? 0,
    drainStrategy: drainStrategy(text('drain-strategy')),
    fileFlushIntervalMs: whole('file-flush-interval-msec'),
    adminAddressPath: text('admin-address-path'),
    extensions: (values['extension'] as string[] | undefined) ?? [],
    statsTags: ((values['stats-tag'] as string[] | undefined) ?? []).map(statsTag),
    watch: values['no-watch'] !== true,
    command: end < 0 ? [] : args.slice(end + 1),
    withoutEffect: Object.keys(values).filter(name => Object.hasOwn(WITHOUT_EFFECT, name)),
  }
}

function drainStrategy(text = 'gradual'): ServerOptions['drainStrategy'] {
  if (text === 'gradual' || text === 'immediate') return text
  throw new UsageError(`--drain-strategy must be gradual or immediate, not '${text}'`)
}

/** A word that is no pattern would be every line of the log. */
function logFormat(text: string | undefined): string | undefined {
  if (text === undefined || text === 'json' || text === 'text' || text.includes('%')) return text
  throw new UsageError(`--log-format must be json, text or a pattern with %, not '${text}'`)
}

/** Names of letters and digits, values without a dot or a blank: Envoy's rules, by its words. */
function statsTag(text: string): ServerOptions['statsTags'][number] {
  const colon = text.indexOf(':')
  if (colon < 0) throw new UsageError(`--stats-tag: misformatted stats-tag '${text}', which is name:value`)
  const [tagName, fixedValue] = [text.slice(0, colon), text.slice(colon + 1)]
  const wrong = !/^[a-z\d]+$/i.test(tagName) ? tagName : /^[^\s.]+$/.test(fixedValue) ? undefined : fixedValue
  if (wrong !== undefined) {
    throw new UsageError(`--stats-tag: misformatted stats-tag '${text}' contains invalid char in '${wrong}'`)
  }
  return { tagName, fixedValue }
}
