/**
 * `typed_per_filter_config` of one level (configuration, virtual host, route, weighted cluster) and of all of them as a
 * route sees them: settings of HTTP filters by the filter's name, and filters switched off or on.
 */
import type { AnyMessage, FilterConfig } from '../config/schema/generated/types.ts'
import type { Mistakes } from './mistakes.ts'

/**
 * Shapes the settings of a filter: `filterName` is its name in `http_filters`, `message` its decoded `Any`. Throws a
 * `ConfigError` for mistakes; undefined where no filter takes such settings.
 */
export type DecodeFilterConfig = (filterName: string, message: AnyMessage) => unknown

export interface FilterConfigLevel {
  readonly configs: ReadonlyMap<string, unknown>
  readonly disabled: ReadonlyMap<string, boolean>
}

const FILTER_CONFIG = 'envoy.config.route.v3.FilterConfig'

/** Compiles `typed_per_filter_config` of the current message; undefined where it is empty. */
export function filterConfigLevel(
  messages: ReadonlyMap<string, AnyMessage>,
  decode: DecodeFilterConfig,
  mistakes: Mistakes,
): FilterConfigLevel | undefined {
  if (messages.size === 0) return undefined
  const configs = new Map<string, unknown>()
  const disabled = new Map<string, boolean>()
  for (const [name, message] of messages) {
    const field = `typed_per_filter_config["${name}"]`
    let config: AnyMessage | undefined = message
    let isOptional = false
    if (message.typeUrl === FILTER_CONFIG) {
      const wrapper = message.value as FilterConfig
      if (wrapper.disabled) {
        disabled.set(name, true)
        continue
      }
      isOptional = wrapper.isOptional
      config = wrapper.config
      if (config === undefined) {
        mistakes.error(field, `Empty route/virtual host per filter configuration for ${name} filter`)
        continue
      }
    }
    // A filter that is configured here is on here, even where it is off by default.
    disabled.set(name, false)
    if (config.typeUrl === '' || config.typeUrl === 'google.protobuf.Empty') continue
    const settings = config
    const decoded = mistakes.attempt(field, () => decode(name, settings))
    if (decoded !== undefined) configs.set(name, decoded)
    else if (!isOptional && !mistakes.errors.some(error => error.field.includes(field))) {
      mistakes.error(field, `no HTTP filter takes settings of the type ${settings.typeUrl} at a route`)
    }
  }
  return { configs, disabled }
}

const NONE: readonly unknown[] = []

/** All levels of one route, least specific first. */
export class FilterConfigs {
  readonly #byName: ReadonlyMap<string, readonly unknown[]>
  readonly #disabled: ReadonlyMap<string, boolean>

  constructor(levels: readonly (FilterConfigLevel | undefined)[]) {
    const byName = new Map<string, unknown[]>()
    const disabled = new Map<string, boolean>()
    for (const level of levels) {
      if (level === undefined) continue
      for (const [name, config] of level.configs) {
        const list = byName.get(name)
        if (list === undefined) byName.set(name, [config])
        else list.push(config)
      }
      for (const [name, off] of level.disabled) disabled.set(name, off)
    }
    this.#byName = byName
    this.#disabled = disabled
  }

  get isEmpty(): boolean {
    return this.#byName.size === 0 && this.#disabled.size === 0
  }

  mostSpecific(filterName: string): unknown {
    return this.#byName.get(filterName)?.at(-1)
  }

  all(filterName: string): readonly unknown[] {
    return this.#byName.get(filterName) ?? NONE
  }

  disabled(filterName: string): boolean | undefined {
    return this.#disabled.get(filterName)
  }
}
