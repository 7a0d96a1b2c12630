/**
 * A request while its route is looked for. One object per table is filled anew for every request, so that matching
 * allocates nothing; what takes work (the path without its query) is done when first asked for.
 */
import type { Random } from '../base/random.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { StreamInfo } from '../observability/stream-info.ts'

export class MatchInput implements Random {
  headers!: RequestHeaders
  info!: StreamInfo
  /** `ignore_path_parameters_in_path_matching`: the path ends at the first `;` as well. */
  readonly #ignoresPathParameters: boolean
  #random!: Random
  #lot = -1
  #path: string | undefined

  constructor(ignoresPathParameters: boolean) {
    this.#ignoresPathParameters = ignoresPathParameters
  }

  start(headers: RequestHeaders, info: StreamInfo, random: Random): void {
    this.headers = headers
    this.info = info
    this.#random = random
    this.#lot = -1
    this.#path = undefined
  }

  /** The path as routes match it: without query and fragment. */
  get path(): string {
    return (this.#path ??= pathOnly(this.headers.path, this.#ignoresPathParameters))
  }

  /** Whether a path ends before this character. */
  endsPath(code: number): boolean {
    return code === QUESTION || code === HASH || (code === SEMICOLON && this.#ignoresPathParameters)
  }

  /**
   * One lot per request decides all fractions and weighted clusters, as in Envoy: a route for 10 % followed by one for
   * 30 % take a tenth and then another fifth, not 27 % of the rest.
   */
  uint32(): number {
    if (this.#lot < 0) this.#lot = this.#random.uint32()
    return this.#lot
  }

  next(): number {
    return this.uint32() / 4294967296
  }
}

const QUESTION = 0x3f
const HASH = 0x23
const SEMICOLON = 0x3b

/** A request target without query and fragment. */
export function pathOnly(target: string, ignoresPathParameters = false): string {
  let end = target.indexOf('?')
  const hash = target.indexOf('#')
  if (hash >= 0 && (end < 0 || hash < end)) end = hash
  if (ignoresPathParameters) {
    const semicolon = target.indexOf(';')
    if (semicolon >= 0 && (end < 0 || semicolon < end)) end = semicolon
  }
  return end < 0 ? target : target.slice(0, end)
}
