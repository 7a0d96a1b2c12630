/**
 * The runtime (Envoy: `layered_runtime`): settings by key, in layers of which a later one wins. Static layers come from
 * configuration; the admin layer is what operators set while the proxy runs (`/runtime_modify`).
 *
 * Envoy's values are texts, numbers, booleans and fractions at once, and what a key means depends on who asks: `5`
 * asked for as a fraction is 5 of 100. That is kept. Layers from disk and over RTDS are not read yet.
 */
import type { Random } from '../base/random.ts'
import { ConfigMistakes } from '../config/config-error.ts'
import type { JsonObject, JsonValue, LayeredRuntime } from '../config/schema/generated/types.ts'
import { DENOMINATORS, type Runtime, type RuntimeFraction } from './runtime.ts'

/** One value, read in every way that it may be asked for; undefined where it is none of that kind. */
interface RuntimeValue {
  readonly text: string
  readonly number: number | undefined
  readonly boolean: boolean | undefined
  readonly fraction: { readonly numerator: number; readonly denominator: number } | undefined
}

interface Layer {
  readonly name: string
  readonly values: Map<string, RuntimeValue>
}

/** What `/runtime` shows. */
export interface RuntimeSnapshot {
  readonly layers: readonly string[]
  readonly entries: ReadonlyMap<string, { readonly finalValue: string; readonly layerValues: readonly string[] }>
}

export class RuntimeLayers implements Runtime {
  readonly #layers: readonly Layer[]
  readonly #admin: Layer | undefined
  /** The layers flattened; made anew when the admin layer changes. */
  #values = new Map<string, RuntimeValue>()
  readonly #modified: (() => void)[] = []

  private constructor(layers: readonly Layer[], admin: Layer | undefined) {
    this.#layers = layers
    this.#admin = admin
    this.#flatten()
  }

  /**
   * The runtime of a bootstrap. As in Envoy, a `layered_runtime` that names no layer has one admin layer without a name,
   * and without `layered_runtime` there is no layer, so that nothing can be modified. What Envoy
   * refuses goes to `found`, with paths below `layered_runtime`; without `found` it is thrown.
   */
  static from(message: LayeredRuntime | undefined, found?: ConfigMistakes): RuntimeLayers {
    if (message === undefined) return new RuntimeLayers([], undefined)
    if (message.layers.length === 0) {
      const admin: Layer = { name: '', values: new Map() }
      return new RuntimeLayers([admin], admin)
    }
    const layers: Layer[] = []
    let admin: Layer | undefined
    const mistakes = found ?? new ConfigMistakes()
    message.layers.forEach(({ name, staticLayer, adminLayer, diskLayer, rtdsLayer }, index) => {
      const field = `layers[${index}]`
      if (layers.some(layer => layer.name === name)) mistakes.add(field, `duplicate layer name "${name}"`)
      const layer: Layer = { name, values: new Map() }
      if (staticLayer !== undefined) readObject('', staticLayer, `${field}.static_layer`, layer.values, mistakes)
      else if (adminLayer !== undefined) {
        if (admin !== undefined) mistakes.add(field, 'there can be only one admin layer')
        admin = layer
      } else if (diskLayer !== undefined) mistakes.add(`${field}.disk_layer`, 'is not supported yet')
      else if (rtdsLayer !== undefined) mistakes.add(`${field}.rtds_layer`, 'is not supported yet')
      else mistakes.add(field, 'needs static_layer or admin_layer')
      layers.push(layer)
    })
    if (found === undefined) mistakes.throwAll()
    return new RuntimeLayers(layers, admin)
  }

  number(key: string, fallback: number): number {
    if (key === '') return fallback
    return this.#values.get(key)?.number ?? fallback
  }

  boolean(key: string, fallback: boolean): boolean {
    if (key === '') return fallback
    return this.#values.get(key)?.boolean ?? fallback
  }

  enabled(fraction: RuntimeFraction, random: Random): boolean {
    let { numerator, denominator }: { numerator: number; denominator: number } = fraction
    if (fraction.key !== '') {
      const value = this.#values.get(fraction.key)
      if (value?.fraction !== undefined) ({ numerator, denominator } = value.fraction)
      else if (value?.number !== undefined && Number.isInteger(value.number) && value.number >= 0) {
        // A plain number overrides the numerator and makes it one of 100, whatever the default's denominator.
        numerator = value.number
        denominator = 100
      }
    }
    // The two that configurations have most need no lot.
    if (numerator >= denominator) return true
    return numerator > 0 && random.uint32() % denominator < numerator
  }

  /** Whether {@link modify} can work: there is an admin layer. */
  get modifiable(): boolean {
    return this.#admin !== undefined
  }

  /** Sets keys in the admin layer; an empty value takes the key out of it. False where there is no such layer. */
  modify(changes: ReadonlyMap<string, string>): boolean {
    if (this.#admin === undefined) return false
    for (const [key, text] of changes) {
      if (text === '') this.#admin.values.delete(key)
      else this.#admin.values.set(key, fromText(text))
    }
    this.#flatten()
    for (const callback of this.#modified) callback()
    return true
  }

  onModified(callback: () => void): void {
    this.#modified.push(callback)
  }

  snapshot(): RuntimeSnapshot {
    const entries = new Map<string, { finalValue: string; layerValues: string[] }>()
    for (const key of [...this.#values.keys()].sort()) {
      const layerValues = this.#layers.map(layer => layer.values.get(key)?.text ?? '')
      entries.set(key, { finalValue: this.#values.get(key)!.text, layerValues })
    }
    return { layers: this.#layers.map(({ name }) => name), entries }
  }

  /** Numbers of keys and layers: the gauges `runtime.num_keys` and `runtime.num_layers`. */
  get keyCount(): number {
    return this.#values.size
  }

  get layerCount(): number {
    return this.#layers.length
  }

  get adminKeyCount(): number {
    return this.#admin?.values.size ?? 0
  }

  #flatten(): void {
    const values = new Map<string, RuntimeValue>()
    for (const layer of this.#layers) for (const [key, value] of layer.values) values.set(key, value)
    this.#values = values
  }
}

/** Nested objects make dotted keys, except those that are fractions. */
function readObject(
  prefix: string,
  object: JsonObject,
  field: string,
  values: Map<string, RuntimeValue>,
  mistakes: ConfigMistakes,
): void {
  for (const [name, value] of Object.entries(object)) {
    const key = prefix === '' ? name : `${prefix}.${name}`
    if (value === null || Array.isArray(value)) mistakes.add(field, `invalid runtime entry value for ${key}`)
    else if (typeof value === 'object') {
      const fraction = asFraction(value as JsonObject)
      if (fraction === undefined) readObject(key, value as JsonObject, field, values, mistakes)
      else values.set(key, { text: JSON.stringify(value), number: undefined, boolean: undefined, fraction })
    } else values.set(key, fromValue(value))
  }
}

function asFraction(object: JsonObject): RuntimeValue['fraction'] {
  if (!('numerator' in object) && !('denominator' in object)) return undefined
  const numerator = Number(object['numerator'] ?? 0)
  const denominator = DENOMINATORS[String(object['denominator'] ?? 'HUNDRED') as keyof typeof DENOMINATORS]
  return denominator === undefined || !Number.isFinite(numerator) ? undefined : { numerator, denominator }
}

function fromValue(value: Exclude<JsonValue, object | null>): RuntimeValue {
  if (typeof value === 'string') return fromText(value)
  if (typeof value === 'boolean') {
    return { text: String(value), number: undefined, boolean: value, fraction: undefined }
  }
  // Envoy takes a number for a boolean too: 0 is false.
  return { text: String(value), number: value, boolean: value !== 0, fraction: undefined }
}

/** As `/runtime_modify` and files give values. */
function fromText(text: string): RuntimeValue {
  const trimmed = text.trim()
  if (/^true$/i.test(trimmed)) return { text, number: undefined, boolean: true, fraction: undefined }
  if (/^false$/i.test(trimmed)) return { text, number: undefined, boolean: false, fraction: undefined }
  const number = trimmed === '' ? Number.NaN : Number(trimmed)
  if (Number.isFinite(number)) return { text, number, boolean: number !== 0, fraction: undefined }
  return { text, number: undefined, boolean: undefined, fraction: fractionOfText(trimmed) }
}

/** `{numerator: 5, denominator: TEN_THOUSAND}`, in JSON or in that YAML. */
function fractionOfText(text: string): RuntimeValue['fraction'] {
  const numerator = /"?numerator"?\s*:\s*(\d+)/.exec(text)
  const denominator = /"?denominator"?\s*:\s*"?(HUNDRED|TEN_THOUSAND|MILLION)"?/.exec(text)
  if (numerator === null && denominator === null) return undefined
  return {
    numerator: Number(numerator?.[1] ?? 0),
    denominator: DENOMINATORS[(denominator?.[1] ?? 'HUNDRED') as keyof typeof DENOMINATORS],
  }
}
