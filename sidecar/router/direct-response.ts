/** `DirectResponseAction`: the answer a route gives by itself. Its body is read when the configuration is loaded. */
import { readFileSync, statSync } from 'node:fs'
import type { DataSource, DirectResponseAction, SubstitutionFormatString } from '../config/schema/generated/types.ts'
import { ConfigError } from '../filter-chain/http-filter.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import { compileJsonFormat, formatErrorText } from '../observability/formatter/formatter.ts'
import { type FormattedValue, formattedValue } from './formatted-value.ts'
import type { Mistakes } from './mistakes.ts'

/** Envoy's default of `max_direct_response_body_size_bytes`. */
export const DEFAULT_MAX_BODY_BYTES = 4096

export interface DirectResponse {
  readonly status: number
  /** One character a byte. */
  readonly body: string
  /** '' for the default, `text/plain`. */
  readonly contentType: string
  /** `body_format`, which makes the body of each response. */
  readonly format: FormattedValue | undefined
}

/** Compiles a direct response, the current message of `mistakes`. */
export function directResponse(action: DirectResponseAction, maxBodyBytes: number, mistakes: Mistakes): DirectResponse {
  const { body: source, bodyFormat } = action
  const body = source === undefined ? '' : mistakes.attempt('body', () => readBody(source, maxBodyBytes))
  return {
    status: action.status,
    body: body ?? '',
    contentType: bodyFormat === undefined ? '' : contentTypeOf(bodyFormat),
    format: bodyFormat && bodyFormatter(bodyFormat, mistakes),
  }
}

export function bodyOf(response: DirectResponse, context: FormatContext): string {
  return response.format?.format(context) ?? response.body
}

function contentTypeOf(format: SubstitutionFormatString): string {
  if (format.contentType !== '') return format.contentType
  return format.jsonFormat === undefined ? '' : 'application/json'
}

function readBody(source: DataSource, maxBytes: number): string {
  if (source.filename !== undefined) return readFile(source.filename, maxBytes)
  if (source.environmentVariable !== undefined) {
    const value = process.env[source.environmentVariable]
    if (value === undefined) {
      throw new ConfigError('environment_variable', `Environment variable doesn't exist: ${source.environmentVariable}`)
    }
    return checkSize(Buffer.from(value), maxBytes)
  }
  const bytes = source.inlineBytes ?? Buffer.from(source.inlineString ?? '')
  return checkSize(Buffer.from(bytes), maxBytes)
}

function readFile(name: string, maxBytes: number): string {
  let size: number
  try {
    size = statSync(name).size
  } catch {
    throw new ConfigError('filename', `file ${name} does not exist`)
  }
  if (size > maxBytes) throw new ConfigError('filename', `file ${name} size is ${size} bytes; maximum is ${maxBytes}`)
  try {
    return readFileSync(name).toString('latin1')
  } catch (error) {
    throw new ConfigError('filename', `file ${name} cannot be read: ${(error as Error).message}`)
  }
}

function checkSize(bytes: Buffer, maxBytes: number): string {
  if (bytes.length > maxBytes) {
    throw new ConfigError('', `response body size is ${bytes.length} bytes; maximum is ${maxBytes}`)
  }
  return bytes.toString('latin1')
}

function bodyFormatter(format: SubstitutionFormatString, mistakes: Mistakes): FormattedValue | undefined {
  if (format.jsonFormat !== undefined) {
    const { value, errors } = compileJsonFormat(format.jsonFormat, { omitEmptyValues: format.omitEmptyValues })
    if (errors !== undefined) mistakes.error('body_format.json_format', formatErrorText(errors))
    return value && { constant: undefined, format: value }
  }
  const text = format.textFormat ?? textOf(format.textFormatSource, mistakes)
  const missing = format.omitEmptyValues ? '' : '-'
  return text === undefined ? undefined : formattedValue(text, 'body_format.text_format', mistakes, missing)
}

function textOf(source: DataSource | undefined, mistakes: Mistakes): string | undefined {
  if (source === undefined) return undefined
  const bytes = mistakes.attempt('body_format.text_format_source', () => readBody(source, Number.MAX_SAFE_INTEGER))
  return bytes === undefined ? undefined : Buffer.from(bytes, 'latin1').toString('utf8')
}
