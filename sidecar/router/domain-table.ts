/**
 * Which virtual host a request is for, by its authority: an exact domain, else the longest `*.suffix`, else the longest
 * `prefix.*`, else `*`. Domains are compared without regard to (ASCII) case; a port is part of the name unless
 * `ignore_port_in_host_matching` says otherwise.
 */
import { textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { Mistakes } from './mistakes.ts'
import { asciiLowerCase } from './string-matcher.ts'

/** Wildcards of one length: a name is cut to that length and looked up. */
interface WildcardsOfLength<T> {
  readonly length: number
  readonly hosts: Map<string, T>
}

export class DomainTable<T> {
  readonly #exact = new Map<string, T>()
  /** Longest first. */
  readonly #suffixes: WildcardsOfLength<T>[] = []
  readonly #prefixes: WildcardsOfLength<T>[] = []
  #fallback: T | undefined
  readonly #ignoresPort: boolean
  /** `vhost_header`: the header that is asked instead of the authority, '' for none. */
  readonly #header: string

  constructor(ignoresPort: boolean, header: string) {
    this.#ignoresPort = ignoresPort
    this.#header = header.toLowerCase()
  }

  /** Adds a domain of `host`; a domain that is there already is noted at `property` of the current message. */
  add(domain: string, host: T, property: string, mistakes: Mistakes): void {
    const name = asciiLowerCase(textToBytes(domain))
    if (name === '*') {
      if (this.#fallback !== undefined) mistakes.error(property, 'Only a single wildcard domain is permitted')
      this.#fallback ??= host
      return
    }
    const [hosts, key] = name.startsWith('*')
      ? [ofLength(this.#suffixes, name.length - 1), name.slice(1)]
      : name.endsWith('*')
        ? [ofLength(this.#prefixes, name.length - 1), name.slice(0, -1)]
        : [this.#exact, name]
    if (hosts.has(key)) {
      mistakes.error(property, `Only unique values for domains are permitted. Duplicate entry of domain ${domain}`)
    } else hosts.set(key, host)
  }

  /** The host for a request, or undefined where no domain fits. */
  find(headers: RequestHeaders): T | undefined {
    if (this.#exact.size === 0 && this.#suffixes.length === 0 && this.#prefixes.length === 0) return this.#fallback
    const authority = this.authorityOf(headers)
    if (authority === undefined) return undefined
    // Domains are in lower case, so that a hit by the name as it came is a hit.
    const found = this.#exact.get(authority)
    if (found !== undefined) return found
    const name = asciiLowerCase(authority)
    if (name !== authority) {
      const folded = this.#exact.get(name)
      if (folded !== undefined) return folded
    }
    for (const { length, hosts } of this.#suffixes) {
      // `*.example.com` is not for `.example.com` itself.
      if (length >= name.length) continue
      const host = hosts.get(name.slice(name.length - length))
      if (host !== undefined) return host
    }
    for (const { length, hosts } of this.#prefixes) {
      if (length >= name.length) continue
      const host = hosts.get(name.slice(0, length))
      if (host !== undefined) return host
    }
    return this.#fallback
  }

  /** The name that domains are compared with, as it came; undefined where the request has none. */
  authorityOf(headers: RequestHeaders): string | undefined {
    const authority = this.#header === '' ? headers.authority : headers.get(this.#header)
    if (authority === undefined || (authority === '' && this.#header === '')) return undefined
    if (!this.#ignoresPort) return authority
    const colon = authority.lastIndexOf(':')
    return colon < 0 || colon < authority.lastIndexOf(']') ? authority : authority.slice(0, colon)
  }
}

function ofLength<T>(wildcards: WildcardsOfLength<T>[], length: number): Map<string, T> {
  let entry = wildcards.find(candidate => candidate.length === length)
  if (entry === undefined) {
    entry = { length, hosts: new Map() }
    wildcards.push(entry)
    wildcards.sort((a, b) => b.length - a.length)
  }
  return entry.hosts
}
