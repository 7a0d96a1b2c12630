/**
 * Headers in wire order: one flat list `[name, value, name, value, …]`, names in lower case and interned.
 *
 * A proxied message has some ten headers and each is looked at a few times, so a scan over a short list of strings that
 * compare by identity beats any map, and writing the message out again is one pass. Values are what arrived, decoded as
 * latin1 (RFC 9110 §5.5), without surrounding white space. Several headers of one name stay several entries.
 *
 * What HTTP/2 calls pseudo-headers are fields of {@link RequestHeaders} and {@link ResponseHeaders}; `get(':path')` reads
 * them too, because matchers, formatters and header mutations name them so.
 */

/**
 * Names seen so far, each to its canonical instance. Bounded: names come from the wire, and a peer that invents new ones
 * must not grow the table. Past the bound a name is simply not interned.
 */
const MAX_INTERNED = 2048
/** Longer names are nobody's but an attacker's: 2048 of 60 KiB each would be a leak. */
const MAX_INTERNED_LENGTH = 100
const interned = new Map<string, string>()

/** The lower-case, canonical form of a header name as it came from the wire. */
export function internHeaderName(raw: string): string {
  const known = interned.get(raw)
  if (known !== undefined) return known
  const lower = raw.toLowerCase()
  const canonical = interned.get(lower) ?? internalize(lower)
  if (interned.size < MAX_INTERNED && raw.length <= MAX_INTERNED_LENGTH) {
    interned.set(lower, canonical)
    if (raw !== lower) interned.set(raw, canonical)
  }
  return canonical
}

/**
 * V8 keeps one instance of each property key and compares two such keys by address, other strings by content.
 * test/bench/codec-http1.bench.ts: a look-up of a missing header among 14 takes 19 ns with such names, 39 with others.
 */
function internalize(name: string): string {
  // Without prototype it is a dictionary from the start: an ordinary object would make a hidden class per name.
  const keys = Object.create(null) as Record<string, number>
  keys[name] = 0
  return Object.keys(keys)[0]!
}

export class HeaderMap {
  /** `[name, value, name, value, …]`. Read it freely in loops; change it through the methods. */
  readonly list: string[]

  constructor(list: string[] = []) {
    this.list = list
  }

  /** Number of headers (not counting pseudo-headers). */
  get size(): number {
    return this.list.length >> 1
  }

  /** The first value of `name` (lower case), or undefined. */
  get(name: string): string | undefined {
    const list = this.list
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1]
    return undefined
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** All values of `name`, in wire order. */
  getAll(name: string): string[] {
    const values: string[] = []
    const list = this.list
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) values.push(list[i + 1]!)
    return values
  }

  /** All values of `name` as one list (RFC 9110 §5.3), joined as Envoy joins them; undefined when there is none. */
  getJoined(name: string): string | undefined {
    const list = this.list
    let joined: string | undefined
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) joined = joined === undefined ? list[i + 1]! : `${joined},${list[i + 1]!}`
    }
    return joined
  }

  /** Sets `name` to one value: the first entry is overwritten in place, others of that name go. */
  set(name: string, value: string): void {
    const list = this.list
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) {
        list[i + 1] = value
        this.#deleteFrom(i + 2, name)
        return
      }
    }
    list.push(name, value)
  }

  /** Adds another entry after all others. `name` must be in lower case. */
  add(name: string, value: string): void {
    this.list.push(name, value)
  }

  /** Appends to the last entry of `name` with a comma between, or adds the entry. */
  appendJoined(name: string, value: string, separator = ','): void {
    const list = this.list
    for (let i = list.length - 2; i >= 0; i -= 2) {
      if (list[i] === name) {
        list[i + 1] = list[i + 1] === '' ? value : list[i + 1]! + separator + value
        return
      }
    }
    list.push(name, value)
  }

  /** Removes every entry of `name`; true when there was one. */
  delete(name: string): boolean {
    return this.#deleteFrom(0, name)
  }

  /** Removes every header the predicate says; one pass, order kept. */
  deleteWhere(predicate: (name: string, value: string) => boolean): void {
    const list = this.list
    let kept = 0
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i]!
      const value = list[i + 1]!
      if (predicate(name, value)) continue
      list[kept++] = name
      list[kept++] = value
    }
    list.length = kept
  }

  /** Bytes of names and values, as Envoy counts header sizes. */
  byteSize(): number {
    let bytes = 0
    for (const part of this.list) bytes += part.length
    return bytes
  }

  #deleteFrom(start: number, name: string): boolean {
    const list = this.list
    let i = start
    while (i < list.length && list[i] !== name) i += 2
    if (i >= list.length) return false
    let kept = i
    for (; i < list.length; i += 2) {
      if (list[i] === name) continue
      list[kept++] = list[i]!
      list[kept++] = list[i + 1]!
    }
    list.length = kept
    return true
  }
}

/** Headers of a request. `authority` is the Host header of HTTP/1.1; it is not repeated in the list. */
export class RequestHeaders extends HeaderMap {
  method: string
  /** The request target in origin form (`/path?query`); `*` for OPTIONS; empty for CONNECT. */
  path: string
  authority: string
  /** `http` or `https`; what Envoy calls `:scheme`. */
  scheme: string
  /** The protocol of an Upgrade or of an extended CONNECT (RFC 8441), in lower case; empty for ordinary requests. */
  protocol: string

  constructor(method: string, path: string, authority: string, scheme: string, list: string[] = []) {
    super(list)
    this.method = method
    this.path = path
    this.authority = authority
    this.scheme = scheme
    this.protocol = ''
  }

  override get(name: string): string | undefined {
    if (name.charCodeAt(0) !== COLON && name !== 'host') return super.get(name)
    switch (name) {
      case ':path':
        return this.path === '' ? undefined : this.path
      case ':method':
        return this.method
      case 'host':
      case ':authority':
        return this.authority === '' ? undefined : this.authority
      case ':scheme':
        return this.scheme
      case ':protocol':
        return this.protocol === '' ? undefined : this.protocol
      default:
        return undefined
    }
  }

  override set(name: string, value: string): void {
    if (name.charCodeAt(0) !== COLON) {
      if (name === 'host') this.authority = value
      else super.set(name, value)
    } else if (name === ':path') this.path = value
    else if (name === ':method') this.method = value
    else if (name === ':authority') this.authority = value
    else if (name === ':scheme') this.scheme = value
    else if (name === ':protocol') this.protocol = value
  }

  clone(): RequestHeaders {
    const copy = new RequestHeaders(this.method, this.path, this.authority, this.scheme, this.list.slice())
    copy.protocol = this.protocol
    return copy
  }
}

/** Headers of a response, 1xx included. */
export class ResponseHeaders extends HeaderMap {
  status: number

  constructor(status: number, list: string[] = []) {
    super(list)
    this.status = status
  }

  override get(name: string): string | undefined {
    return name === ':status' ? String(this.status) : super.get(name)
  }

  override set(name: string, value: string): void {
    if (name === ':status') this.status = Number(value)
    else super.set(name, value)
  }
}

const COLON = 0x3a
