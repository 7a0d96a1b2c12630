/**
 * What a compiled format reads, and the words its parts are written in.
 *
 * Texts here are what `codec/` makes of the wire: one character per byte. A format writes them out as latin1, so that a
 * header leaves as it came; texts from configuration are turned into that form when the format is compiled.
 */
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { StreamInfo } from '../stream-info.ts'

/** The part of a header map that formats read; names in lower case, pseudo-headers by their HTTP/2 names. */
export interface HeaderView {
  get(name: string): string | undefined
  /** Bytes of names and values; where it is missing the sizes noted in `StreamInfo` are used. */
  byteSize?(): number
}

/** `filter_metadata` of something configured: by namespace, then by key. */
export type FilterMetadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export type MetadataKind = 'ROUTE' | 'VIRTUAL_HOST' | 'CLUSTER' | 'UPSTREAM_HOST' | 'LISTENER' | 'LISTENER_FILTER_CHAIN'

/** One request, as formats see it: `HttpStream` of `filter-chain/` already has this shape. */
export interface FormatContext {
  readonly info: StreamInfo
  readonly requestHeaders?: HeaderView | undefined
  readonly responseHeaders?: HeaderView | undefined
  readonly requestTrailers?: HeaderView | undefined
  readonly responseTrailers?: HeaderView | undefined
  /** Body of a local reply while it is being made; access logs of Envoy print an empty text. */
  readonly localReplyBody?: string | undefined
  /** `DownstreamEnd` where it is missing: the log written at the end of a request. */
  readonly accessLogType?: string | undefined
  metadata?(kind: MetadataKind): FilterMetadata | undefined
}

/** A value before it is written: text formats print `undefined` and `null` as `-`, JSON as null. */
export type FormatValue = string | number | boolean | object | null | undefined

/** One operator, compiled. */
export type Extractor = (context: FormatContext) => FormatValue

/** What of a request a format reads, so that the caller need not keep or build the rest. */
export type FormatNeed =
  | 'requestHeaders'
  | 'responseHeaders'
  | 'requestTrailers'
  | 'responseTrailers'
  | 'metadata'
  | 'tls'
  | 'failure'

/** A compiled format. */
export interface Formatter {
  (context: FormatContext): string
  readonly needs: ReadonlySet<FormatNeed>
}

/** A mistake in a format. */
export interface FormatError {
  /** Envoy's text of the mistake; `hint` is our addition to it. */
  readonly message: string
  /** `, did you mean "DURATION"?` or ''. */
  readonly hint: string
  /** First character of the operator in the format, from 1. */
  readonly column: number
  /** Keys below `json_format`, e.g. `upstream.host`; '' in a text format. */
  readonly path: string
}

/** Either the compiled thing or every mistake in it. */
export type Compiled<T> =
  | { readonly value: T; readonly errors?: undefined }
  | { readonly value?: undefined; readonly errors: readonly FormatError[] }

export interface FormatOptions {
  /** Missing values print as nothing, or are left out of JSON (Envoy: `omit_empty_values`). */
  readonly omitEmptyValues?: boolean | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  readonly hostname?: string | undefined
}

/** Operators get the options with every default filled in. */
export interface OperatorOptions {
  readonly clock: Clock
  readonly random: Random
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly hostname: string
}

/** A text of configuration in the one-character-per-byte form. */
export function binaryText(text: string): string {
  return /[^\0-\x7f]/.test(text) ? Buffer.from(text, 'utf8').latin1Slice() : text
}

/** All of a format's mistakes in one line, as a configuration error shows them. */
export function formatErrorText(errors: readonly FormatError[]) {
  return errors
    .map(({ message, hint, column, path }) => `${path === '' ? '' : `${path}: `}${message}${hint} (column ${column})`)
    .join('; ')
}
