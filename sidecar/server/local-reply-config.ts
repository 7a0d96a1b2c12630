/**
 * `local_reply_config`: changes answers of our own before they are written (Envoy: `LocalReply`). The first mapper whose
 * filter matches gives status, body and headers; then the body is put into a format, the mapper's or everybody's.
 */

import type { RequestHeaders } from '../codec/header-map.ts'
import type {
  HttpConnectionManager,
  ResponseMapper,
  SubstitutionFormatString,
} from '../config/schema/generated/types.ts'
import type { LocalReplyRewriter, ReplyDraft } from '../http/local-reply.ts'
import { compileFormatSource } from '../observability/access-log/access-log.ts'
import type { LogFilter } from '../observability/access-log/log-filter.ts'
import {
  binaryText,
  type FormatContext,
  type Formatter,
  formatErrorText,
} from '../observability/formatter/formatter.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import { type HeaderMutations, headerMutations } from '../router/header-mutation.ts'
import { Mistakes } from '../router/mistakes.ts'
import { dataText, formatSource } from './access-logs.ts'
import { BuildError, type BuildErrors } from './build-errors.ts'
import type { Environment } from './environment.ts'

export function localReplyRewriter(
  message: HttpConnectionManager,
  path: string,
  env: Environment,
  errors: BuildErrors,
): LocalReplyRewriter | undefined {
  const config = message.localReplyConfig
  if (config === undefined) return undefined
  const mappers = config.mappers.map((mapper, i) => new Mapper(mapper, `${path}.mappers[${i}]`, env, errors))
  const common = config.bodyFormat
  const format = common && errors.attempt(path, config, () => bodyFormat(common, 'body_format'))
  return {
    rewrite(draft, request, info) {
      const context: FormatContext = {
        info,
        requestHeaders: request,
        responseHeaders: draft.headers,
        get localReplyBody() {
          return draft.body
        },
      }
      const mapper = mappers.find(one => one.matches(context))
      mapper?.apply(draft, request, info, context)
      ;(mapper?.format ?? format)?.(draft, context)
    },
  }
}

/** Puts the body of a draft into a format. */
type BodyFormat = (draft: ReplyDraft, context: FormatContext) => void

class Mapper {
  readonly #matches: LogFilter | undefined
  readonly format: BodyFormat | undefined
  readonly #status: number | undefined
  readonly #body: string | undefined
  readonly #headers: HeaderMutations | undefined

  /** What is wrong goes to `errors`; a mapper with mistakes is not to be used. */
  constructor(message: ResponseMapper, path: string, env: Environment, errors: BuildErrors) {
    if (message.filter === undefined) errors.add(`${path}.filter`, 'is required', message)
    this.#matches = message.filter && env.accessLogs.filterOf(message.filter, `${path}.filter`, errors)
    this.#status = message.statusCode
    const body = errors.attempt(path, message, () => dataText(message.body, 'body'))
    this.#body = body === undefined ? undefined : binaryText(body)
    const override = message.bodyFormatOverride
    this.format = override && errors.attempt(path, message, () => bodyFormat(override, 'body_format_override'))
    const mistakes = new Mistakes(message)
    this.#headers = headerMutations(message.headersToAdd, [], 'response_headers', mistakes, 'headers_to_add')
    errors.attempt(path, message, () => mistakes.throwAll())
  }

  matches(context: FormatContext): boolean {
    return this.#matches?.(context) === true
  }

  apply(draft: ReplyDraft, _request: RequestHeaders | undefined, info: StreamInfo, context: FormatContext): void {
    if (this.#body !== undefined) draft.body = this.#body
    this.#headers?.apply(draft.headers, context)
    if (this.#status === undefined) return
    draft.headers.status = this.#status
    info.responseCode = this.#status
  }
}

function bodyFormat(message: SubstitutionFormatString, path: string): BodyFormat {
  const made = compileFormatSource(formatSource(message, path))
  if (made.errors !== undefined) throw new BuildError(path, formatErrorText(made.errors), message)
  const format: Formatter = made.value
  const contentType =
    message.contentType !== ''
      ? message.contentType
      : message.jsonFormat === undefined
        ? 'text/plain'
        : 'application/json'
  return (draft, context) => {
    draft.body = format(context)
    draft.contentType = contentType
  }
}
