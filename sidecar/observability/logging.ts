/**
 * The process log: what the proxy says about itself (requests are the access log's matter).
 *
 * Each component has a level of its own, named as Envoy names levels, that `/logging` changes while the proxy runs. A call
 * below the level is one comparison; whoever would have to build its fields first asks `log.debugs`.
 *
 * On a terminal a line is `[date][level][component] text key=value`, elsewhere one JSON object (`--log-format`). It goes
 * to standard error, as Envoy's does: standard output belongs to access logs.
 *
 * JSON lines are pino's. Loading it costs 45 ms and 11 MB (measured, Node 26.10), more than anything else at start, so it
 * is loaded a while after the first line; until then, and where it cannot be had, `plainJson` writes the same line.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { readableStack } from '../base/readable-stack.ts'
import { compileLogPattern } from './log-pattern.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export const LOG_COMPONENTS = [
  'admin',
  'cluster',
  'config',
  'failure',
  'http',
  'listener',
  'main',
  'router',
  'secret',
  'tracing',
  'upstream',
] as const
export type LogComponent = (typeof LOG_COMPONENTS)[number]

export type LogFields = Readonly<Record<string, unknown>>
export type LogFormat = 'text' | 'json'

/** pino's numbers, so that tools that know them can compare. */
const RANK: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warning: 40,
  error: 50,
  critical: 60,
  off: 100,
}

/** After the first line: the start is over by then, and a short-lived process never pays for pino. */
const PINO_AFTER_MS = 2000

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text)
}

/** A level as `-l` takes it: Envoy knows `warn` for `warning` there, and nowhere else. */
export function parseLogLevel(text: string): LogLevel | undefined {
  const level = text === 'warn' ? 'warning' : text
  return isLogLevel(level) ? level : undefined
}

/** What `/logging` reads and changes. */
export interface LogLevels {
  levels(): Iterable<readonly [component: string, level: LogLevel]>
  set(component: string, level: LogLevel): void
  setAll(level: LogLevel): void
}

export interface LogOptions {
  /** For every component; what is set already stays where it is not given. */
  readonly level?: LogLevel | undefined
  /** Default: text on a terminal, JSON elsewhere. */
  readonly format?: LogFormat | undefined
  /** Of Envoy's `--log-format`, in place of `format` (log-pattern.ts). */
  readonly pattern?: string | undefined
  /** `--log-path`: a file, appended to. Throws where it cannot be opened. */
  readonly path?: string | undefined
}

/** One component's voice: `log.info('text')` or `log.info({ cluster: 'b' }, 'text')`. */
export class Logger {
  readonly component: LogComponent
  /** Calls of a lower rank say nothing. Set through {@link ProcessLog}. */
  threshold: number = RANK.info
  readonly #log: ProcessLog

  constructor(component: LogComponent, log: ProcessLog) {
    this.component = component
    this.#log = log
  }

  /** Whether `trace` or `debug` would be written: ask before building what only they print. */
  get traces(): boolean {
    return this.threshold <= RANK.trace
  }
  get debugs(): boolean {
    return this.threshold <= RANK.debug
  }

  trace(fields: LogFields | string, text?: string): void {
    if (this.threshold <= RANK.trace) this.#log.write('trace', this.component, fields, text)
  }
  debug(fields: LogFields | string, text?: string): void {
    if (this.threshold <= RANK.debug) this.#log.write('debug', this.component, fields, text)
  }
  info(fields: LogFields | string, text?: string): void {
    if (this.threshold <= RANK.info) this.#log.write('info', this.component, fields, text)
  }
  warning(fields: LogFields | string, text?: string): void {
    if (this.threshold <= RANK.warning) this.#log.write('warning', this.component, fields, text)
  }
  error(fields: LogFields | string, text?: string): void {
    if (this.threshold <= RANK.error) this.#log.write('error', this.component, fields, text)
  }
  critical(fields: LogFields | string, text?: string): void {
    if (this.threshold <= RANK.critical) this.#log.write('critical', this.component, fields, text)
  }
}

type PinoLine = Readonly<Record<string, (fields: LogFields, text: string) => void>>

export class ProcessLog implements LogLevels {
  /** Lines lost because the reader of the log did not keep up or the disk is full. */
  dropped = 0
  readonly #loggers: ReadonlyMap<string, Logger>
  readonly #now: () => number
  #levels = new Map<string, LogLevel>()
  #format: LogFormat
  #pattern: ReturnType<typeof compileLogPattern> | undefined = undefined
  #path: string | undefined = undefined
  #fd = 2
  #pino: PinoLine | undefined = undefined
  #pinoTimer: NodeJS.Timeout | undefined = undefined

  constructor(options: LogOptions = {}, now: () => number = Date.now) {
    this.#now = now
    this.#loggers = new Map(LOG_COMPONENTS.map(component => [component, new Logger(component, this)]))
    this.#format = 'text'
    this.setAll('info')
    this.configure(options)
  }

  configure({ level, format, pattern, path }: LogOptions): void {
    if (path !== undefined) {
      const fd = openSync(path, 'a')
      this.#close()
      this.#fd = fd
      this.#path = path
    }
    this.#format = format ?? (path === undefined && process.stderr.isTTY ? 'text' : 'json')
    this.#pattern = pattern === undefined ? undefined : compileLogPattern(pattern)
    if (level !== undefined) this.setAll(level)
  }

  logger(component: LogComponent): Logger {
    return this.#loggers.get(component)!
  }

  levels(): Iterable<readonly [component: string, level: LogLevel]> {
    return this.#levels
  }

  set(component: string, level: LogLevel): void {
    const logger = this.#loggers.get(component)
    if (logger === undefined) return
    logger.threshold = RANK[level]
    this.#levels.set(component, level)
  }

  setAll(level: LogLevel): void {
    for (const component of LOG_COMPONENTS) this.set(component, level)
  }

  /** `--component-log-level upstream:debug,http:trace`. The result is what is wrong with it, undefined when nothing. */
  setComponents(text: string): string | undefined {
    for (const pair of text.split(',')) {
      const [component = '', given = ''] = pair.split(':')
      const level = parseLogLevel(given)
      if (!this.#loggers.has(component)) return `no log component "${component}": ${LOG_COMPONENTS.join(', ')}`
      if (level === undefined) return `no log level "${given}": ${LOG_LEVELS.join(', ')}`
      this.set(component, level)
    }
    return undefined
  }

  /** Opens the file of `--log-path` anew, after logrotate moved it away (SIGUSR1, `/reopen_logs`). */
  reopen(): void {
    if (this.#path === undefined) return
    const fd = openSync(this.#path, 'a')
    this.#close()
    this.#fd = fd
  }

  write(level: LogLevel, component: LogComponent, fields: LogFields | string, text = ''): void {
    const message = typeof fields === 'string' ? fields : text
    const given = typeof fields === 'string' ? {} : fields
    if (this.#pattern !== undefined) {
      this.#writeLine(this.#pattern({ atMs: this.#now(), level, component, message: withFields(given, message) }))
    } else if (this.#format === 'text') this.#writeLine(plainText(this.#now(), level, component, given, message))
    else if (this.#pino !== undefined) this.#pino[level]!({ component, ...jsonFields(given) }, message)
    else {
      this.#writeLine(plainJson(this.#now(), level, component, given, message))
      this.#loadPinoLater()
    }
  }

  /** Loads pino now; for tests and for processes that will log much. */
  async loadPino(): Promise<void> {
    clearTimeout(this.#pinoTimer)
    const { pino } = await import('pino')
    const { off: _, ...customLevels } = RANK
    this.#pino = pino(
      {
        level: 'trace',
        customLevels,
        useOnlyCustomLevels: true,
        base: { pid: process.pid },
        timestamp: () => `,"time":"${new Date(this.#now()).toISOString()}"`,
        formatters: { level: label => ({ level: label }) },
        // Errors are fields already ({@link jsonFields}); pino's own serializer would take them for objects.
        serializers: { err: error => error },
      },
      { write: (line: string) => this.#writeLine(line) },
    ) as unknown as PinoLine
  }

  #loadPinoLater(): void {
    if (this.#pinoTimer !== undefined) return
    this.#pinoTimer = setTimeout(() => {
      this.loadPino().catch(() => {
        // Not installed: the plain writer goes on.
      })
    }, PINO_AFTER_MS)
    this.#pinoTimer.unref()
  }

  /** Synchronous, so that the last words of a dying process are kept. A log that cannot be written must not stop it. */
  #writeLine(line: string): void {
    try {
      writeSync(this.#fd, line)
    } catch {
      this.dropped++
    }
  }

  #close(): void {
    if (this.#fd !== 2) closeSync(this.#fd)
  }
}

/** The log of this process. */
export const processLog = new ProcessLog()

export function logger(component: LogComponent): Logger {
  return processLog.logger(component)
}

/** `[2026-11-21 08:13:40.752][info][main] all clusters initialized clusters=2` */
function plainText(now: number, level: LogLevel, component: string, fields: LogFields, message: string): string {
  const date = new Date(now).toISOString().replace('T', ' ').slice(0, 23)
  return `[${date}][${level}][${component}] ${withFields(fields, message)}\n`
}

/** A message with its fields behind it, and the stacks of errors below. */
function withFields(fields: LogFields, message: string): string {
  let line = message
  let stack = ''
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    if (value instanceof Error) {
      line += ` ${name}=${JSON.stringify(value.message)}`
      stack += `\n${readableStack(value)}`
    } else line += ` ${name}=${fieldText(value)}`
  }
  return line + stack
}

function fieldText(value: unknown): string {
  if (typeof value !== 'string') return safeJson(value)
  return value === '' || /[\s"=]/.test(value) ? JSON.stringify(value) : value
}

/** The line that pino writes: same keys, same order. */
function plainJson(now: number, level: LogLevel, component: string, fields: LogFields, message: string): string {
  const time = new Date(now).toISOString()
  return `${safeJson({ level, time, pid: process.pid, component, ...jsonFields(fields), msg: message })}\n`
}

/** An `Error` has no fields of its own that JSON would show. */
function jsonFields(fields: LogFields): LogFields {
  const shown: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    shown[name] =
      value instanceof Error ? { type: value.name, message: value.message, stack: readableStack(value) } : value
  }
  return shown
}

/** JSON for the log: what JSON cannot express is shown as text rather than thrown. */
function safeJson(value: unknown): string {
  const seen = new Set<unknown>()
  try {
    return JSON.stringify(value, (_key, part: unknown) => {
      if (typeof part === 'bigint') return String(part)
      if (typeof part === 'object' && part !== null) {
        if (seen.has(part)) return '[Circular]'
        seen.add(part)
      }
      return part
    })
  } catch {
    return JSON.stringify(String(value))
  }
}
