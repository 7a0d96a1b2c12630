/**
 * Chooses the filter chain of a new connection (Envoy: `FilterChainMatch`).
 *
 * The criteria are asked in a fixed order, and at each step the chains with the most specific value that fits go on alone:
 * destination port → destination address → server name → transport protocol → application protocol → direct source
 * address → source type → source address → source port. There is no way back: a chain that fits better at an early step
 * hides others even if it fails at a later one. That is Envoy's rule, and what makes its configurations portable.
 */
import { type Address, isLoopbackAddress } from '../base/address.ts'
import { addressBits } from '../base/cidr.ts'
import type { CidrRange, FilterChainMatch } from '../config/schema/generated/types.ts'

/** What is known of a connection when its chain is chosen. */
export interface ConnectionTraits {
  readonly local: Address
  readonly remote: Address
  /** The socket's peer; differs from `remote` behind the PROXY protocol. */
  readonly directRemote: Address
  /** SNI in lower case, '' when there is none. */
  readonly serverName: string
  /** `tls`, `raw_buffer`, '' while no inspector has looked. */
  readonly transportProtocol: string
  readonly applicationProtocols: readonly string[]
}

interface Candidate<Chain> {
  readonly chain: Chain
  readonly match: FilterChainMatch | undefined
}

export class FilterChainMatcher<Chain> {
  readonly #candidates: readonly Candidate<Chain>[]
  readonly #fallback: Chain | undefined
  /** The one chain that takes everything, where that is all there is: the usual listener. */
  readonly #only: Chain | undefined

  constructor(chains: readonly Candidate<Chain>[], fallback: Chain | undefined) {
    this.#candidates = chains
    this.#fallback = fallback
    this.#only = chains.length === 1 && isEmptyMatch(chains[0]!.match) ? chains[0]!.chain : undefined
  }

  /** Every chain, the default one last. */
  get chains(): readonly Chain[] {
    const chains = this.#candidates.map(({ chain }) => chain)
    return this.#fallback === undefined ? chains : [...chains, this.#fallback]
  }

  find(traits: ConnectionTraits): Chain | undefined {
    if (this.#only !== undefined) return this.#only
    let left = this.#candidates
    for (const step of STEPS) {
      left = narrow(left, step, traits)
      if (left.length === 0) return this.#fallback
    }
    return left[0]!.chain
  }
}

function isEmptyMatch(match: FilterChainMatch | undefined): boolean {
  return match === undefined || STEPS.every(step => step(match, ANY) === 0)
}

/**
 * How well a chain fits at one step: 0 when it does not ask, more for a more specific fit, -1 when it does not fit.
 */
type Step = (match: FilterChainMatch, traits: ConnectionTraits) => number

const STEPS: readonly Step[] = [
  (match, traits) => (match.destinationPort === undefined ? 0 : match.destinationPort === traits.local.port ? 1 : -1),
  (match, traits) => rangeFit(match.prefixRanges, traits.local.ip),
  (match, traits) => nameFit(match.serverNames, traits.serverName),
  (match, traits) =>
    match.transportProtocol === ''
      ? 0
      : match.transportProtocol === (traits.transportProtocol || 'raw_buffer')
        ? 1
        : -1,
  (match, traits) => {
    if (match.applicationProtocols.length === 0) return 0
    return match.applicationProtocols.some(protocol => traits.applicationProtocols.includes(protocol)) ? 1 : -1
  },
  (match, traits) => rangeFit(match.directSourcePrefixRanges, traits.directRemote.ip),
  (match, traits) => {
    if (match.sourceType === 'ANY') return 0
    const local = traits.remote.ip === traits.local.ip || isLoopbackAddress(traits.remote.ip)
    return (match.sourceType === 'SAME_IP_OR_LOOPBACK') === local ? 1 : -1
  },
  (match, traits) => rangeFit(match.sourcePrefixRanges, traits.remote.ip),
  (match, traits) => (match.sourcePorts.length === 0 ? 0 : match.sourcePorts.includes(traits.remote.port) ? 1 : -1),
]

/** Traits nothing specific fits, for asking whether a match asks at all. */
const NOWHERE: Address = { ip: '', port: -1 }
const ANY: ConnectionTraits = {
  local: NOWHERE,
  remote: NOWHERE,
  directRemote: NOWHERE,
  serverName: '',
  transportProtocol: '?',
  applicationProtocols: [],
}

function narrow<Chain>(chains: readonly Candidate<Chain>[], step: Step, traits: ConnectionTraits): Candidate<Chain>[] {
  let best = 0
  const fits = chains.map(candidate => {
    const fit = candidate.match === undefined ? 0 : step(candidate.match, traits)
    if (fit > best) best = fit
    return fit
  })
  return chains.filter((_, i) => fits[i] === best)
}

/** 1 + the length of the longest prefix that contains `ip`; 0 without ranges; -1 when none contains it. */
function rangeFit(ranges: readonly CidrRange[], ip: string): number {
  if (ranges.length === 0) return 0
  const address = addressBits(ip)
  if (address === undefined) return -1
  let best = -1
  for (const range of ranges) {
    const prefix = addressBits(range.addressPrefix)
    if (prefix === undefined || prefix.width !== address.width) continue
    const length = range.prefixLen ?? 0
    const shift = BigInt(address.width - length)
    if (address.bits >> shift === prefix.bits >> shift) best = Math.max(best, 1 + length)
  }
  return best
}

/** Exact names fit best, then `*.suffix` by length; a chain without names takes what is left. */
function nameFit(names: readonly string[], serverName: string): number {
  if (names.length === 0) return 0
  let best = -1
  for (const name of names) {
    if (name === serverName) return 100_000
    if (name.startsWith('*.') && serverName.endsWith(name.slice(1))) best = Math.max(best, name.length)
  }
  return best
}
