/**
 * Which virtual host a request is for, by its authority: an exact domain, else the longest `*.suffix`, else the longest
 * `prefix.*`, else `*`. Domains are compared without regard to (ASCII) case; a port is part of the name unless
 * `ignore_port_in_host_matching` says otherwise.
 */
import { textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { Mistakes } from './mistakes.ts'
import { asciiLowerCase } from './string-matcher.ts'

/** Wildcards of one length. */
class WildcardsOfLength<T> {
  readonly length: number
  /** What stands beside the star, and the hosts, at the same positions. */
  readonly texts: string[] = []
  readonly #hosts: T[] = []
  readonly #byText = new Map<string, T>()

  constructor(length: number) {
    this.length = length
  }

  /** False where the text is there already. */
  add(text: string, host: T): boolean {
    if (this.#byText.has(text)) return false
    this.#byText.set(text, host)
    this.texts.push(text)
    this.#hosts.push(host)
    return true
  }

  endOf(name: string): T | undefined {
    // `*.example.com` is not for `.example.com` itself.
    if (this.length >= name.length) return undefined
    if (this.texts.length > FEW) return this.#byText.get(name.slice(name.length - this.length))
    for (let i = 0; i < this.texts.length; i++) if (name.endsWith(this.texts[i]!)) return this.#hosts[i]
    return undefined
  }

  beginningOf(name: string): T | undefined {
    if (this.length >= name.length) return undefined
    if (this.texts.length > FEW) return this.#byText.get(name.slice(0, this.length))
    for (let i = 0; i < this.texts.length; i++) if (name.startsWith(this.texts[i]!)) return this.#hosts[i]
    return undefined
  }
}

/** Up to so many texts, comparing each costs less than cutting the name and hashing what is left. */
const FEW = 8

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
    let isNew: boolean
    if (name.startsWith('*')) isNew = ofLength(this.#suffixes, name.length - 1).add(name.slice(1), host)
    else if (name.endsWith('*')) isNew = ofLength(this.#prefixes, name.length - 1).add(name.slice(0, -1), host)
    else {
      isNew = !this.#exact.has(name)
      if (isNew) this.#exact.set(name, host)
    }
    if (isNew) return
    mistakes.error(property, `Only unique values for domains are permitted. Duplicate entry of domain ${domain}`)
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
    for (let i = 0; i < this.#suffixes.length; i++) {
      const host = this.#suffixes[i]!.endOf(name)
      if (host !== undefined) return host
    }
    for (let i = 0; i < this.#prefixes.length; i++) {
      const host = this.#prefixes[i]!.beginningOf(name)
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

function ofLength<T>(wildcards: WildcardsOfLength<T>[], length: number): WildcardsOfLength<T> {
  const found = wildcards.find(candidate => candidate.length === length)
  if (found !== undefined) return found
  const added = new WildcardsOfLength<T>(length)
  wildcards.push(added)
  wildcards.sort((a, b) => b.length - a.length)
  return added
}
