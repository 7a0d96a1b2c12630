/**
 * Names to addresses: address literals and the hosts file first, then the DNS through c-ares, one query at a time along
 * the search list. Answers carry their TTL, failures their kind: a name that does not exist, a server that will not or
 * cannot answer, and silence are different troubles with different owners.
 */
import { Resolver } from 'node:dns'
import { isIP } from 'node:net'
import type { LookupFamily, ResolverSettings } from './dns-settings.ts'
import { FileSystemNames, type SystemNames } from './system-names.ts'

export type DnsFailure = 'NXDOMAIN' | 'NODATA' | 'SERVFAIL' | 'REFUSED' | 'timeout' | 'unreachable' | 'malformed'

export interface DnsAnswer {
  /** In the order of the answer; empty when there is none. */
  readonly addresses: readonly string[]
  /** The shortest TTL in the answer; 0 when the answer has none (literals, hosts file). */
  readonly ttlMs: number
  /** Why there is no address. `NXDOMAIN` and `NODATA` are answers, the others are the lack of one. */
  readonly failure: DnsFailure | undefined
}

export interface DnsResolver {
  /** Never rejects. */
  resolve(name: string, family: LookupFamily): Promise<DnsAnswer>
  close(): void
}

const FAILURES: Readonly<Record<string, DnsFailure>> = {
  ENOTFOUND: 'NXDOMAIN',
  ENODATA: 'NODATA',
  ESERVFAIL: 'SERVFAIL',
  EREFUSED: 'REFUSED',
  ENOTIMP: 'REFUSED',
  ETIMEOUT: 'timeout',
  ETIMEDOUT: 'timeout',
  ECONNREFUSED: 'unreachable',
  ENONAME: 'malformed',
  EBADNAME: 'malformed',
  EBADQUERY: 'malformed',
}

/** Which record types are asked for in turn; the first that has addresses is the answer, unless all are wanted. */
const ORDERS: Readonly<Record<LookupFamily, readonly (4 | 6)[]>> = {
  AUTO: [6, 4],
  V4_ONLY: [4],
  V6_ONLY: [6],
  V4_PREFERRED: [4, 6],
  ALL: [6, 4],
}

/** True for what the DNS has answered: there is no such address. */
export function isDenial(failure: DnsFailure | undefined): boolean {
  return failure === 'NXDOMAIN' || failure === 'NODATA'
}

export class SystemDnsResolver implements DnsResolver {
  readonly #settings: ResolverSettings
  readonly #names: SystemNames
  readonly #channels: readonly Resolver[]

  constructor(settings: ResolverSettings, names: SystemNames = new FileSystemNames()) {
    this.#settings = settings
    this.#names = names
    const channel = (servers: readonly string[]) => {
      const resolver = new Resolver({ timeout: settings.queryTimeoutMs, tries: settings.queryTries })
      if (servers.length > 0) resolver.setServers(servers)
      return resolver
    }
    // Without servers of its own a channel has those of resolv.conf.
    this.#channels =
      settings.serversAsFallback && settings.servers.length > 0
        ? [channel([]), channel(settings.servers)]
        : [channel(settings.servers)]
  }

  async resolve(name: string, family: LookupFamily): Promise<DnsAnswer> {
    const version = isIP(name)
    if (version !== 0) return fits(version as 4 | 6, family) ? found([name], 0) : denied('NODATA')
    const listed = ofFamily(this.#names.hosts(name), family)
    if (listed.length > 0) return found(listed, 0)
    let answer = denied('NXDOMAIN')
    for (const channel of this.#channels) {
      answer = await this.#search(channel, name, family)
      if (answer.failure === undefined || isDenial(answer.failure)) return answer
    }
    return answer
  }

  close(): void {
    for (const channel of this.#channels) channel.cancel()
  }

  async #search(channel: Resolver, name: string, family: LookupFamily): Promise<DnsAnswer> {
    let worst: DnsAnswer | undefined
    for (const candidate of this.#names.candidates(name, this.#settings.useSearchList)) {
      const answer = await queryFamilies(channel, candidate, family)
      if (answer.failure === undefined) return answer
      // A server that fails for one suffix may know another; that it failed still counts more than a denial.
      if (worst === undefined || isDenial(worst.failure)) worst = answer
      if (!isDenial(answer.failure) && answer.failure !== 'SERVFAIL') break
    }
    return worst ?? denied('malformed')
  }
}

async function queryFamilies(channel: Resolver, name: string, family: LookupFamily): Promise<DnsAnswer> {
  if (family === 'ALL') {
    const answers = await Promise.all(ORDERS.ALL.map(version => query(channel, name, version)))
    const good = answers.filter(answer => answer.failure === undefined)
    if (good.length === 0) return worseOf(answers[0]!, answers[1]!)
    return found(
      good.flatMap(answer => answer.addresses),
      Math.min(...good.map(answer => answer.ttlMs)),
    )
  }
  let result: DnsAnswer | undefined
  for (const version of ORDERS[family]) {
    const answer = await query(channel, name, version)
    if (answer.failure === undefined) return answer
    result = result === undefined ? answer : worseOf(result, answer)
  }
  return result!
}

function query(channel: Resolver, name: string, version: 4 | 6): Promise<DnsAnswer> {
  return new Promise(resolve => {
    const done = (error: Error | null, records: readonly { address: string; ttl: number }[] | undefined): void => {
      if (error === null && records !== undefined && records.length > 0) {
        const ttlMs = Math.min(...records.map(record => record.ttl)) * 1000
        resolve(
          found(
            records.map(record => record.address),
            ttlMs,
          ),
        )
      } else resolve(denied(error === null ? 'NODATA' : (FAILURES[codeOf(error)] ?? 'SERVFAIL')))
    }
    try {
      if (version === 4) channel.resolve4(name, { ttl: true }, done)
      else channel.resolve6(name, { ttl: true }, done)
    } catch (error) {
      done(error as Error, undefined)
    }
  })
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}

/** Of two families without addresses the one whose failure tells more. */
function worseOf(first: DnsAnswer, second: DnsAnswer): DnsAnswer {
  return isDenial(first.failure) && !(isDenial(second.failure) && second.failure === 'NXDOMAIN') ? second : first
}

function found(addresses: readonly string[], ttlMs: number): DnsAnswer {
  return { addresses, ttlMs, failure: undefined }
}

function denied(failure: DnsFailure): DnsAnswer {
  return { addresses: [], ttlMs: 0, failure }
}

function fits(version: 4 | 6, family: LookupFamily): boolean {
  return ORDERS[family].includes(version)
}

function ofFamily(addresses: readonly string[], family: LookupFamily): readonly string[] {
  if (family === 'ALL') return addresses
  for (const version of ORDERS[family]) {
    const some = addresses.filter(ip => isIP(ip) === version)
    if (some.length > 0) return some
  }
  return []
}
