/**
 * What is wrong with a route configuration, gathered with the path of each field. Compiling goes on past a mistake, so
 * that one update tells all of them; a configuration with errors is thrown away as a whole.
 */
import { RegexError } from '../base/regex.ts'
import { ConfigError, fieldBelow } from '../config/config-error.ts'

export interface Mistake {
  readonly severity: 'error' | 'warning'
  /** Path below the route configuration: `virtual_hosts[2].routes[0].route.prefix_rewrite`. */
  readonly field: string
  readonly reason: string
  /**
   * The decoded message the field belongs to and the field's name in it ('' for the message itself): for `sourceOf`.
   */
  readonly message: object | undefined
  readonly property: string
}

/** A place in the configuration, where mistakes can be noted. All places of one configuration share one list. */
export class Mistakes {
  readonly path: string
  readonly #found: Mistake[]
  readonly #message: object | undefined

  constructor(message?: object, path = '', found: Mistake[] = []) {
    this.#message = message
    this.path = path
    this.#found = found
  }

  get found(): readonly Mistake[] {
    return this.#found
  }

  get errors(): readonly Mistake[] {
    return this.#found.filter(({ severity }) => severity === 'error')
  }

  get warnings(): readonly Mistake[] {
    return this.#found.filter(({ severity }) => severity === 'warning')
  }

  /** The place of a message below this one, e.g. `routes[3]`. */
  below(field: string, message: object | undefined): Mistakes {
    return new Mistakes(message ?? this.#message, fieldBelow(this.path, field), this.#found)
  }

  error(property: string, reason: string): void {
    this.#add('error', property, reason)
  }

  warning(property: string, reason: string): void {
    this.#add('warning', property, reason)
  }

  /** Runs what throws {@link ConfigError} or {@link RegexError} and notes it; undefined after a mistake. */
  attempt<T>(property: string, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (error instanceof RegexError) this.error(property, error.message)
      else if (error instanceof ConfigError) {
        for (const { field, message } of error.all) this.error(fieldBelow(property, field), message)
      } else throw error
      return undefined
    }
  }

  /** For callers that take a {@link ConfigError}: throws the errors there are as one. */
  throwAll(): void {
    const [first, ...others] = this.errors
    if (first === undefined) return
    throw new ConfigError(
      first.field,
      first.reason,
      others.map(({ field, reason }) => new ConfigError(field, reason)),
    )
  }

  #add(severity: Mistake['severity'], property: string, reason: string): void {
    this.#found.push({ severity, field: fieldBelow(this.path, property), reason, message: this.#message, property })
  }
}
