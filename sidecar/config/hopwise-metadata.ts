/**
 * Hopwise's own settings: `metadata.filter_metadata.hopwise` of the node, a listener, a cluster, an endpoint or a route,
 * where real Envoy loads them without a word. This file is their schema and their documentation.
 *
 * ```yaml
 * metadata:
 *   filter_metadata:
 *     hopwise:
 *       service: payments        # cluster, endpoint: what the callee is called
 *       external: on
 * ```
 */
import { parseCidr } from '../base/cidr.ts'
import { didYouMean } from '../base/suggest.ts'
import type { JsonObject, JsonValue, Metadata } from './schema/generated/types.ts'

export interface HopwiseSettings {
  /** The callee's name in failure records, before the cluster's own name. */
  readonly service: string | undefined
  /** Which way a listener faces when `traffic_direction` does not say it. */
  readonly direction: 'INBOUND' | 'OUTBOUND' | undefined
  /** A listener at the edge of the mesh: failure records are taken off its responses. */
  readonly edge: boolean | undefined
  /** A cluster outside the mesh: its `proxy-status` is never believed. */
  readonly external: boolean | undefined
  /** Plaintext peers whose failure records are believed, as CIDRs; `[]` believes none. Undefined: loopback and private. */
  readonly trustedPeers: readonly string[] | undefined
  /** SPIFFE trust domains whose peers' failure records are believed over mutual TLS, beside that of our own certificate. */
  readonly trustDomains: readonly string[] | undefined
  /** `false` leaves timeouts as Envoy has them: calls do not inherit what is left of the inbound request's time. */
  readonly deadlines: boolean | undefined
  /** What a local reply's body says: Envoy's words, or a sentence for people. */
  readonly bodies: 'envoy' | 'human' | undefined
  /** How much earlier than its caller a call gives up, in ms; the larger of this and `budgetMarginPercent` counts. */
  readonly budgetMarginMs: number | undefined
  readonly budgetMarginPercent: number | undefined
  /** Whether one retry is made when a re-used idle connection dies before any byte of an answer. */
  readonly retryReusedConnection: boolean | undefined
  /** Whether a gRPC call is retried by a status in its trailers, where no message came before them (`held-head.ts`). */
  readonly retryGrpcTrailers: boolean | undefined
  /** How long the head of such a call may wait for its trailers or first message, in ms. */
  readonly retryGrpcTrailersWaitMs: number | undefined
  /** `false` leaves Node's own metrics off `/stats/prometheus`: they cost 13 MB from the first scrape on. */
  readonly processMetrics: boolean | undefined
}

const none: HopwiseSettings = Object.freeze({
  service: undefined,
  direction: undefined,
  edge: undefined,
  external: undefined,
  trustedPeers: undefined,
  trustDomains: undefined,
  deadlines: undefined,
  bodies: undefined,
  budgetMarginMs: undefined,
  budgetMarginPercent: undefined,
  retryReusedConnection: undefined,
  retryGrpcTrailers: undefined,
  retryGrpcTrailersWaitMs: undefined,
  processMetrics: undefined,
})

/** What a setting may be set on: only where it has an effect. */
export type SettingScope = 'node' | 'listener' | 'cluster' | 'endpoint' | 'route'

interface Setting {
  readonly property: keyof HopwiseSettings
  readonly scopes: readonly SettingScope[]
  /** The value as HopwiseSettings has it, or what it must be. */
  read(value: JsonValue): { readonly value: HopwiseSettings[keyof HopwiseSettings] } | { readonly mustBe: string }
}

export const hopwiseSettings: Readonly<Record<string, Setting>> = {
  service: { property: 'service', scopes: ['cluster', 'endpoint'], read: serviceName },
  direction: { property: 'direction', scopes: ['listener'], read: oneOf('INBOUND', 'OUTBOUND') },
  edge: { property: 'edge', scopes: ['listener'], read: onOrOff },
  external: { property: 'external', scopes: ['cluster'], read: onOrOff },
  trusted_peers: { property: 'trustedPeers', scopes: ['node'], read: cidrList },
  trust_domains: { property: 'trustDomains', scopes: ['node'], read: trustDomainList },
  deadlines: { property: 'deadlines', scopes: ['node'], read: onOrOff },
  bodies: { property: 'bodies', scopes: ['node', 'listener'], read: oneOf('envoy', 'human') },
  budget_margin_ms: { property: 'budgetMarginMs', scopes: ['node'], read: numberUpTo(60_000) },
  budget_margin_percent: { property: 'budgetMarginPercent', scopes: ['node'], read: numberUpTo(100) },
  retry_reused_connection: { property: 'retryReusedConnection', scopes: ['node', 'cluster', 'route'], read: onOrOff },
  retry_grpc_trailers: { property: 'retryGrpcTrailers', scopes: ['route'], read: onOrOff },
  retry_grpc_trailers_wait_ms: { property: 'retryGrpcTrailersWaitMs', scopes: ['route'], read: numberUpTo(60_000) },
  process_metrics: { property: 'processMetrics', scopes: ['node'], read: onOrOff },
}

/** The settings in `metadata`, those that are wrong left out; `checkHopwiseSettings` has reported them at load. */
export function hopwiseMetadata(metadata: Metadata | undefined): HopwiseSettings {
  return hopwiseSettingsOf(metadata?.filterMetadata.get('hopwise'))
}

/** For the node, whose metadata is a plain Struct: `node.metadata.hopwise`, or `node.metadata.filter_metadata.hopwise`. */
export function nodeHopwiseSettings(metadata: JsonObject | undefined): HopwiseSettings {
  return hopwiseSettingsOf(nodeSettings(metadata))
}

export function nodeSettings(metadata: JsonObject | undefined): JsonValue | undefined {
  const nested = metadata?.['filter_metadata']
  return metadata?.['hopwise'] ?? (isObject(nested) ? nested['hopwise'] : undefined)
}

function hopwiseSettingsOf(settings: JsonValue | undefined): HopwiseSettings {
  if (!isObject(settings)) return none
  const result: Record<string, unknown> = { ...none }
  for (const [name, value] of Object.entries(settings)) {
    const setting = hopwiseSettings[name]
    const read = setting?.read(value)
    if (setting && read && 'value' in read) result[setting.property] = read.value
  }
  return Object.freeze(result) as unknown as HopwiseSettings
}

/** Reports every setting that is unknown, out of place or wrong. */
export function checkHopwiseSettings(
  settings: JsonValue | undefined,
  scope: SettingScope,
  report: (name: string, message: string) => void,
): void {
  if (settings === undefined) return
  if (!isObject(settings)) {
    report('', 'must be a mapping of settings')
    return
  }
  for (const [name, value] of Object.entries(settings)) {
    const setting = hopwiseSettings[name]
    if (!setting) {
      report(name, `unknown setting${didYouMean(name, Object.keys(hopwiseSettings))}`)
      continue
    }
    if (!setting.scopes.includes(scope)) {
      report(name, `means nothing on a ${scope}; it belongs on a ${setting.scopes.join(' or a ')}`)
      continue
    }
    const read = setting.read(value)
    if ('mustBe' in read) report(name, `must be ${read.mustBe}, not ${JSON.stringify(value)}`)
  }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function serviceName(value: JsonValue): ReturnType<Setting['read']> {
  // The same pattern that failure records must match on the wire.
  if (typeof value === 'string' && /^[a-z0-9._/-]{1,128}$/.test(value)) return { value }
  return { mustBe: 'a name of up to 128 letters (a-z), digits, ".", "_", "/" and "-"' }
}

/** YAML's `off` is false to Envoy by the time it reaches metadata; a JSON file says "off". */
function onOrOff(value: JsonValue): ReturnType<Setting['read']> {
  if (value === true || value === 'on' || value === 'true') return { value: true }
  if (value === false || value === 'off' || value === 'false') return { value: false }
  return { mustBe: 'on or off' }
}

function oneOf<T extends 'INBOUND' | 'OUTBOUND' | 'envoy' | 'human'>(...allowed: readonly T[]): Setting['read'] {
  return value => {
    const found = allowed.find(item => typeof value === 'string' && item.toLowerCase() === value.toLowerCase())
    return found === undefined ? { mustBe: allowed.join(' or ') } : { value: found }
  }
}

function numberUpTo(most: number): Setting['read'] {
  return value => {
    // Envoy's YAML keeps `2.5` in metadata as a string.
    const number = typeof value === 'string' && value !== '' ? Number(value) : value
    if (typeof number === 'number' && number >= 0 && number <= most) return { value: number }
    return { mustBe: `a number from 0 to ${most}` }
  }
}

function cidrList(value: JsonValue): ReturnType<Setting['read']> {
  const list = typeof value === 'string' ? [value] : value
  if (Array.isArray(list) && list.every(item => typeof item === 'string' && parseCidr(item) !== undefined)) {
    return { value: list }
  }
  return { mustBe: 'a list of CIDRs such as 10.0.0.0/8' }
}

function trustDomainList(value: JsonValue): ReturnType<Setting['read']> {
  const list = typeof value === 'string' ? [value] : value
  // SPIFFE-ID, §2.1: lower case, no scheme, no port.
  const isDomain = (item: JsonValue) => typeof item === 'string' && /^[a-z0-9._-]{1,255}$/.test(item)
  if (Array.isArray(list) && list.every(isDomain)) return { value: list as string[] }
  return { mustBe: 'a list of SPIFFE trust domains such as cluster.local' }
}
