/** Access loggers from configuration: what each message means, and the files they share. */
import { readFileSync } from 'node:fs'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { HeaderMap } from '../codec/header-map.ts'
import { fieldBelow } from '../config/config-error.ts'
import type {
  AccessLogFilter,
  AccessLog as AccessLogMessage,
  Admin,
  ComparisonFilter,
  DataSource,
  FileAccessLog,
  FractionalPercent,
  StdoutAccessLog,
  SubstitutionFormatString,
} from '../config/schema/generated/types.ts'
import { DENOMINATORS, type Runtime } from '../filter-chain/runtime.ts'
import type { ActiveStream } from '../http/active-stream.ts'
import type { StreamLogger } from '../http/connection-manager.ts'
import type { ConnectionLogger } from '../listener/listener.ts'
import { AccessLog, type AccessLogConfig, type FormatSource } from '../observability/access-log/access-log.ts'
import { LogFileStats } from '../observability/access-log/log-file.ts'
import { LogFiles } from '../observability/access-log/log-files.ts'
import {
  type Comparison,
  compileLogFilter,
  type LogFilter,
  type LogFilterConfig,
} from '../observability/access-log/log-filter.ts'
import { binaryText, formatErrorText } from '../observability/formatter/context.ts'
import type { StatsScope } from '../observability/stats.ts'
import { headerMatcher } from '../router/header-matcher.ts'
import { valueMatch } from '../router/metadata-matcher.ts'
import { Mistakes } from '../router/mistakes.ts'
import { BuildError, type BuildErrors } from './build-errors.ts'

const LOG_FORMAT = 'typed_config.log_format'

/** gRPC codes by the names Envoy's filter uses. */
const GRPC_STATUSES = [
  'OK',
  'CANCELED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
]

export class AccessLogs {
  readonly #files: LogFiles
  readonly #random: Random
  #runtime: Runtime | undefined

  constructor(parts: { timers: Timers; random: Random; stats: StatsScope; flushIntervalMs: number | undefined }) {
    const { timers, random, stats, flushIntervalMs } = parts
    this.#files = new LogFiles({ timers, stats: new LogFileStats(stats), flushIntervalMs })
    this.#random = random
  }

  useRuntime(runtime: Runtime): void {
    this.#runtime = runtime
  }

  loggersOf(messages: readonly AccessLogMessage[], path: string, errors: BuildErrors): readonly StreamLogger[] {
    return this.#logs(messages, path, errors) as readonly { log(stream: ActiveStream): void }[]
  }

  /** `access_log` of a listener: one line per connection. */
  connectionLoggersOf(
    messages: readonly AccessLogMessage[],
    path: string,
    errors: BuildErrors,
  ): readonly ConnectionLogger[] {
    return this.#logs(messages, path, errors)
  }

  /** Of the admin listener: `access_log`, and the older `access_log_path`, which has no format of its own. */
  adminLoggersOf(admin: Admin, errors: BuildErrors): readonly StreamLogger[] {
    const logs = this.#logs(admin.accessLog, 'admin.access_log', errors)
    const { accessLogPath } = admin
    if (accessLogPath !== '') {
      const log = errors.attempt('admin.access_log_path', admin, () =>
        this.#log({ path: accessLogPath, format: { type: 'default' } }, '', admin),
      )
      if (log !== undefined) logs.push(log)
    }
    return logs as readonly { log(stream: ActiveStream): void }[]
  }

  /** A file for lines that are none of requests; what is given is one line. Throws where it cannot be opened. */
  lines(path: string): (line: string) => void {
    const file = this.#files.open(path)
    return line => file.write(`${binaryText(line)}\n`)
  }

  #logs(messages: readonly AccessLogMessage[], path: string, errors: BuildErrors): AccessLog[] {
    const logs = messages.map((message, i) =>
      errors.attempt(`${path}[${i}]`, message, () =>
        this.#log(loggerConfig(message, `${path}[${i}]`, errors), formatPath(message), message),
      ),
    )
    return logs.filter(log => log !== undefined)
  }

  /** Throws {@link BuildError} with a path below that of `at`. */
  #log(config: AccessLogConfig, path: string, at: object): AccessLog {
    const made = AccessLog.create(config, { files: this.#files, random: this.#random, runtime: this.#runtime })
    if (made.errors !== undefined) throw new BuildError(path, formatErrorText(made.errors), at)
    return made.value
  }

  /** A filter alone, for whatever else chooses among requests (`local_reply_config`); undefined where it is none. */
  filterOf(message: AccessLogFilter, path: string, errors: BuildErrors): LogFilter | undefined {
    const config = filterConfig(message, path, errors)
    return config && compileLogFilter(config, { random: this.#random, runtime: this.#runtime })
  }

  reopen(): void {
    this.#files.reopen()
  }

  async flush(): Promise<void> {
    await this.#files.flush()
  }
}

/** Where the format of a logger stands. */
function formatPath({ typedConfig }: AccessLogMessage): string {
  const file = typedConfig?.value as Partial<FileAccessLog> | undefined
  const { logFormat } = file ?? {}
  const field =
    logFormat === undefined
      ? (['format', 'jsonFormat', 'typedJsonFormat'] as const).find(name => file?.[name])
      : (['textFormat', 'textFormatSource', 'jsonFormat'] as const).find(name => logFormat[name])
  const name = field?.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
  return `typed_config${logFormat === undefined ? '' : '.log_format'}${name === undefined ? '' : `.${name}`}`
}

/** What is wrong with the filter goes to `errors`; what is wrong with the rest is thrown, below `path`. */
function loggerConfig(message: AccessLogMessage, path: string, errors: BuildErrors): AccessLogConfig {
  const any = message.typedConfig
  const filter = message.filter === undefined ? undefined : filterConfig(message.filter, `${path}.filter`, errors)
  switch (any?.typeUrl) {
    case 'envoy.extensions.access_loggers.file.v3.FileAccessLog': {
      const file = any.value as FileAccessLog
      return { path: file.path, format: fileFormat(file), filter }
    }
    case 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog':
      return { path: '/dev/stdout', format: formatSource((any.value as StdoutAccessLog).logFormat, LOG_FORMAT), filter }
    case 'envoy.extensions.access_loggers.stream.v3.StderrAccessLog':
      return { path: '/dev/stderr', format: formatSource((any.value as StdoutAccessLog).logFormat, LOG_FORMAT), filter }
    default:
      throw new BuildError('typed_config', `access logger ${message.name} is not supported yet`, message)
  }
}

function fileFormat(file: FileAccessLog): FormatSource {
  if (file.format !== undefined && file.format !== '') return { type: 'text', format: file.format }
  const json = file.jsonFormat ?? file.typedJsonFormat
  if (json !== undefined) return { type: 'json', format: json }
  return formatSource(file.logFormat, LOG_FORMAT)
}

/** `SubstitutionFormatString`; Envoy's default line where there is none. */
export function formatSource(message: SubstitutionFormatString | undefined, path: string): FormatSource {
  if (message === undefined) return { type: 'default' }
  const { omitEmptyValues } = message
  if (message.jsonFormat !== undefined) return { type: 'json', format: message.jsonFormat, omitEmptyValues }
  const text = message.textFormat ?? dataText(message.textFormatSource, `${path}.text_format_source`)
  return text === undefined ? { type: 'default', omitEmptyValues } : { type: 'text', format: text, omitEmptyValues }
}

/** The text of a `DataSource`, read now; undefined where there is none. Throws {@link BuildError} below `path`. */
export function dataText(source: DataSource | undefined, path: string): string | undefined {
  if (source === undefined) return undefined
  if (source.inlineString !== undefined) return source.inlineString
  if (source.inlineBytes !== undefined) return Buffer.from(source.inlineBytes).toString('utf8')
  if (source.environmentVariable !== undefined) return process.env[source.environmentVariable] ?? ''
  if (source.filename === undefined) return undefined
  try {
    return readFileSync(source.filename, 'utf8')
  } catch (error) {
    throw new BuildError(`${path}.filename`, (error as Error).message, source)
  }
}

function comparison(message: ComparisonFilter | undefined): Comparison {
  return {
    op: message?.op ?? 'EQ',
    value: message?.value?.defaultValue ?? 0,
    runtimeKey: message?.value?.runtimeKey ?? '',
  }
}

function percent(message: FractionalPercent | undefined) {
  return { numerator: message?.numerator ?? 0, denominator: DENOMINATORS[message?.denominator ?? 'HUNDRED'] }
}

/** What a filter is; undefined after mistakes, of which all parts of it have told theirs. */
function filterConfig(message: AccessLogFilter, path: string, errors: BuildErrors): LogFilterConfig | undefined {
  if (message.statusCodeFilter !== undefined) {
    return { type: 'status_code', comparison: comparison(message.statusCodeFilter.comparison) }
  }
  if (message.durationFilter !== undefined) {
    return { type: 'duration', comparison: comparison(message.durationFilter.comparison) }
  }
  if (message.notHealthCheckFilter !== undefined) return { type: 'not_health_check' }
  if (message.traceableFilter !== undefined) return { type: 'traceable' }
  if (message.runtimeFilter !== undefined) {
    const { runtimeKey, percentSampled, useIndependentRandomness } = message.runtimeFilter
    return { type: 'runtime', runtimeKey, ...percent(percentSampled), useIndependentRandomness }
  }
  if (message.andFilter !== undefined || message.orFilter !== undefined) {
    const type = message.andFilter !== undefined ? 'and' : 'or'
    const filters = (message.andFilter ?? message.orFilter)!.filters
    const parts = filters.map((one, i) => filterConfig(one, `${path}.${type}_filter.filters[${i}]`, errors))
    const made = parts.filter(part => part !== undefined)
    return made.length === parts.length ? { type, filters: made } : undefined
  }
  if (message.headerFilter?.header !== undefined) {
    const mistakes = new Mistakes(message.headerFilter)
    const matcher = headerMatcher(message.headerFilter.header, mistakes)
    if (tell(mistakes, `${path}.header_filter.header`, errors)) return undefined
    return { type: 'header', matches: headers => matcher.matches(headers as HeaderMap) }
  }
  if (message.responseFlagFilter !== undefined)
    return { type: 'response_flag', flags: message.responseFlagFilter.flags }
  if (message.grpcStatusFilter !== undefined) {
    const { statuses, exclude } = message.grpcStatusFilter
    return { type: 'grpc_status', statuses: statuses.map(name => GRPC_STATUSES.indexOf(name)), exclude }
  }
  if (message.logTypeFilter !== undefined) {
    return { type: 'log_type', types: message.logTypeFilter.types, exclude: message.logTypeFilter.exclude }
  }
  if (message.metadataFilter !== undefined) {
    const { matcher, matchIfKeyNotFound } = message.metadataFilter
    const mistakes = new Mistakes(message.metadataFilter)
    const matches = matcher?.value === undefined ? undefined : valueMatch(matcher.value, 'matcher.value', mistakes)
    if (tell(mistakes, `${path}.metadata_filter`, errors)) return undefined
    return {
      type: 'metadata',
      namespace: matcher?.filter ?? '',
      path: matcher?.path.map(segment => segment.key ?? '') ?? [],
      // Without a value to compare it with, any will do. `invert` does nothing here: Envoy does not look at it (measured).
      matches: value => matches?.(value) ?? true,
      matchIfKeyNotFound: matchIfKeyNotFound ?? true,
    }
  }
  errors.add(path, 'this access log filter is not supported yet', message)
  return undefined
}

/** Whether there were mistakes, which are told below `path`. */
function tell(mistakes: Mistakes, path: string, errors: BuildErrors): boolean {
  for (const { field, reason, message } of mistakes.errors) errors.add(fieldBelow(path, field), reason, message)
  return mistakes.errors.length > 0
}
