/**
 * Access logs: a filter, a format and a file, made once from configuration (Envoy: `AccessLog`, the loggers `file`,
 * `stdout` and `stderr`).
 */
import { systemRandom } from '../../base/random.ts'
import type {
  Compiled,
  FormatContext,
  FormatError,
  FormatNeed,
  FormatOptions,
  Formatter,
} from '../formatter/context.ts'
import { compileJsonFormat } from '../formatter/json-format.ts'
import { ENVOY_FORMAT, FORMAT_PRESETS } from '../formatter/presets.ts'
import { compileTextFormat } from '../formatter/text-format.ts'
import type { LogFile } from './log-file.ts'
import type { LogFiles } from './log-files.ts'
import { compileLogFilter, type LogFilter, type LogFilterConfig, type LogFilterDependencies } from './log-filter.ts'

/** `SubstitutionFormatString` and the older `format` fields; a preset is ours. */
export type FormatSource = (
  | { readonly type: 'default' }
  | { readonly type: 'preset'; readonly name: string }
  /** `text_format_source`, with the file's or the environment's text read already. */
  | { readonly type: 'text'; readonly format: string }
  | { readonly type: 'json'; readonly format: Readonly<Record<string, unknown>> }
) & { readonly omitEmptyValues?: boolean | undefined }

export interface AccessLogConfig {
  /** `/dev/stdout` and `/dev/stderr` for the loggers `stdout` and `stderr`. */
  readonly path: string
  readonly format: FormatSource
  readonly filter?: LogFilterConfig | undefined
}

/** A format from any of its sources; an unknown preset is a mistake like any other. */
export function compileFormatSource(source: FormatSource, options: FormatOptions = {}): Compiled<Formatter> {
  const omitEmptyValues = source.omitEmptyValues
  if (source.type === 'default') return compileTextFormat(ENVOY_FORMAT, { ...options, omitEmptyValues })
  if (source.type === 'text') return compileTextFormat(source.format, { ...options, omitEmptyValues })
  if (source.type === 'json') return compileJsonFormat(source.format, { ...options, omitEmptyValues })
  const preset = FORMAT_PRESETS[source.name]
  if (preset === undefined) {
    const names = Object.keys(FORMAT_PRESETS).join(', ')
    return { errors: [mistake(`no log format is called "${source.name}", there are ${names}`)] }
  }
  if ('text' in preset) return compileTextFormat(preset.text, { ...options, omitEmptyValues })
  return compileJsonFormat(preset.json, { ...options, omitEmptyValues: omitEmptyValues ?? preset.omitEmptyValues })
}

function mistake(message: string): FormatError {
  return { message, hint: '', column: 1, path: '' }
}

export interface AccessLogDependencies extends Partial<LogFilterDependencies> {
  readonly files: LogFiles
  readonly formatOptions?: FormatOptions | undefined
}

export class AccessLog {
  readonly needs: ReadonlySet<FormatNeed>
  readonly #format: Formatter
  readonly #filter: LogFilter | undefined
  readonly #file: LogFile
  readonly #files: LogFiles

  private constructor(format: Formatter, filter: LogFilter | undefined, file: LogFile, files: LogFiles) {
    this.needs = format.needs
    this.#format = format
    this.#filter = filter
    this.#file = file
    this.#files = files
  }

  /** Mistakes in the format, and a path that cannot be opened, are told rather than thrown. */
  static create(config: AccessLogConfig, dependencies: AccessLogDependencies): Compiled<AccessLog> {
    const { files, formatOptions, random = systemRandom, runtime } = dependencies
    const { value: format, errors } = compileFormatSource(config.format, formatOptions)
    if (errors !== undefined) return { errors }
    const filter = config.filter && compileLogFilter(config.filter, { random, runtime })
    try {
      return { value: new AccessLog(format, filter, files.open(config.path), files) }
    } catch (error) {
      return { errors: [mistake((error as Error).message)] }
    }
  }

  /** One request has ended. The context is read before this returns. */
  log(context: FormatContext): void {
    if (this.#filter !== undefined && !this.#filter(context)) return
    this.#file.write(this.#format(context))
  }

  /** The listener that logs here is gone. */
  release(): void {
    this.#files.release(this.#file)
  }
}
