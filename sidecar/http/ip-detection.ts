/**
 * Whose address a request comes from, where it is not the socket's peer: `x-forwarded-for` and the detection extensions
 * (Envoy: `OriginalIPDetection`; features.md §2.9).
 */
import { isIP } from 'node:net'
import type { Address } from '../base/address.ts'
import type { CidrSet } from '../base/cidr.ts'
import type { RequestHeaders } from '../codec/header-map.ts'

export interface DetectedAddress {
  /** Undefined where nothing was found. */
  readonly address: Address | undefined
  /** Whether the address may count as internal. */
  readonly trusted: boolean
  /** The peer's own address is added to `x-forwarded-for`. */
  readonly appendXff: boolean
  /** The request is refused with this status, because it does not say where it comes from; 0 to go on. */
  readonly refuseStatus: number
}

export interface IpDetector {
  detect(headers: RequestHeaders, peer: Address): DetectedAddress
}

/** `original_ip_detection.xff`, and what holds without any extension. */
export class XffDetector implements IpDetector {
  readonly #hops: number
  readonly #proxies: CidrSet | undefined
  readonly #appendXff: boolean

  /** `proxies`: addresses of trusted proxies, in place of a number of hops. */
  constructor(hops: number, proxies: CidrSet | undefined, appendXff: boolean) {
    this.#hops = hops
    this.#proxies = proxies
    this.#appendXff = appendXff
  }

  detect(headers: RequestHeaders, peer: Address): DetectedAddress {
    const header = headers.get('x-forwarded-for')
    const proxies = this.#proxies
    let address: Address | undefined
    let trusted = false
    if (proxies === undefined) {
      address = addressFromXff(header, this.#hops)
      // Only one who was told nothing by anybody else can be an internal caller.
      trusted = address !== undefined && this.#hops === 0 && !header!.includes(',')
    } else if (proxies.has(peer.ip)) address = lastOutside(header, proxies)
    return { address, trusted, appendXff: this.#appendXff, refuseStatus: 0 }
  }
}

/** `original_ip_detection.custom_header`. */
export class CustomHeaderDetector implements IpDetector {
  readonly #name: string
  readonly #trusted: boolean
  readonly #refuseStatus: number

  constructor(name: string, trusted: boolean, refuseStatus: number) {
    this.#name = name.toLowerCase()
    this.#trusted = trusted
    this.#refuseStatus = refuseStatus
  }

  detect(headers: RequestHeaders): DetectedAddress {
    const address = addressOf(headers.get(this.#name))
    if (address === undefined) {
      return { address, trusted: false, appendXff: false, refuseStatus: this.#refuseStatus }
    }
    return { address, trusted: this.#trusted, appendXff: false, refuseStatus: 0 }
  }
}

/** The address `hops` from the right of an `x-forwarded-for` list, or undefined when it is not there or no address. */
export function addressFromXff(header: string | undefined, hops: number): Address | undefined {
  if (header === undefined) return undefined
  let end = header.length
  for (let i = 0; i < hops; i++) {
    end = header.lastIndexOf(',', end - 1)
    if (end < 0) return undefined
  }
  return addressOf(header.slice(header.lastIndexOf(',', end - 1) + 1, end).trim())
}

/** The last address that is none of our own proxies; the first one where all are. */
function lastOutside(header: string | undefined, proxies: CidrSet): Address | undefined {
  const entries = header?.split(',') ?? []
  let found: Address | undefined
  for (let i = entries.length - 1; i >= 0; i--) {
    const address = addressOf(entries[i]!.trim())
    if (address === undefined) return found
    found = address
    if (!proxies.has(address.ip)) return found
  }
  return found
}

function addressOf(text: string | undefined): Address | undefined {
  return text === undefined || isIP(text) === 0 ? undefined : { ip: text, port: 0 }
}
