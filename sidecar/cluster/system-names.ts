/**
 * What the system says about names beside the DNS: `/etc/hosts`, and the search list of `/etc/resolv.conf`. c-ares as Node
 * wraps it answers single queries and looks at neither, and Kubernetes depends on both.
 */
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'

export interface SystemNames {
  /** Addresses of a name in the hosts file, in its order; empty when it is not there. */
  hosts(name: string): readonly string[]
  /** The names to ask for in turn, the first that has addresses wins. */
  candidates(name: string, useSearchList: boolean): readonly string[]
}

/** glibc's limit: more dots than this in `ndots` count as this. */
const MAX_NDOTS = 15
const LOOPBACK: readonly string[] = Object.freeze(['::1', '127.0.0.1'])

/** Read again whenever the files change: an orchestrator may write them after we have started. */
export class FileSystemNames implements SystemNames {
  readonly #hosts: WatchedFile<Map<string, string[]>>
  readonly #search: WatchedFile<SearchList>

  constructor(hostsPath = '/etc/hosts', resolvConfPath = '/etc/resolv.conf') {
    this.#hosts = new WatchedFile(hostsPath, parseHosts)
    this.#search = new WatchedFile(resolvConfPath, parseResolvConf)
  }

  hosts(name: string): readonly string[] {
    const plain = withoutDot(name).toLowerCase()
    const listed = this.#hosts.value.get(plain)
    if (listed !== undefined) return listed
    // RFC 6761 §6.3: these never go to a server.
    return plain === 'localhost' || plain.endsWith('.localhost') ? LOOPBACK : []
  }

  candidates(name: string, useSearchList: boolean): readonly string[] {
    if (name.endsWith('.')) return [withoutDot(name)]
    const { suffixes, ndots } = this.#search.value
    if (!useSearchList || suffixes.length === 0) return [name]
    const longer = suffixes.map(suffix => `${name}.${suffix}`)
    return name.split('.').length - 1 >= ndots ? [name, ...longer] : [...longer, name]
  }
}

export interface SearchList {
  readonly suffixes: readonly string[]
  readonly ndots: number
}

export function parseHosts(text: string): Map<string, string[]> {
  const byName = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [ip, ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (ip === undefined || isIP(ip) === 0) continue
    for (const name of names) {
      const key = withoutDot(name).toLowerCase()
      const known = byName.get(key)
      if (known === undefined) byName.set(key, [ip])
      else if (!known.includes(ip)) known.push(ip)
    }
  }
  return byName
}

/** resolv.conf(5): of `search` and `domain` the last counts. */
export function parseResolvConf(text: string): SearchList {
  let suffixes: string[] = []
  let ndots = 1
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'search') suffixes = words.map(withoutDot).filter(suffix => suffix !== '')
    else if (keyword === 'domain') suffixes = words.slice(0, 1).map(withoutDot)
    else if (keyword === 'options') {
      const option = words.find(word => /^ndots:\d+$/.test(word))
      if (option !== undefined) ndots = Math.min(MAX_NDOTS, Number(option.slice('ndots:'.length)))
    }
  }
  return { suffixes, ndots }
}

class WatchedFile<T> {
  readonly #path: string
  readonly #parse: (text: string) => T
  #value: T
  #stamp = ''

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path
    this.#parse = parse
    this.#value = parse('')
  }

  get value(): T {
    // A file that is missing, or being replaced, says nothing.
    const stat = statSync(this.#path, { throwIfNoEntry: false })
    const stamp = stat === undefined ? '' : `${stat.ino}/${stat.mtimeMs}/${stat.size}`
    if (stamp === this.#stamp) return this.#value
    this.#stamp = stamp
    try {
      this.#value = this.#parse(stamp === '' ? '' : readFileSync(this.#path, 'utf8'))
    } catch {
      this.#stamp = ''
    }
    return this.#value
  }
}

function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name
}
