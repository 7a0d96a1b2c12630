/** A mistake in the configuration of one part: `field` is the path below the part's own message. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly field: string
  /** Further mistakes, where all of them were looked for. */
  readonly others: readonly ConfigError[]
  constructor(field: string, reason: string, others: readonly ConfigError[] = []) {
    super(reason)
    this.field = field
    this.others = others
  }

  /** This mistake and the others. */
  get all(): readonly ConfigError[] {
    return [this, ...this.others]
  }
}

/**
 * Gathers what the steps of a builder throw, so that the first mistake hides none of the others. A step that needs what
 * another one failed to make is to be left out, not to fail.
 */
export class ConfigMistakes {
  readonly #found: ConfigError[] = []

  /** Runs a step, whose mistakes are below `field`; undefined after a {@link ConfigError}, which waits for `throwAll`. */
  attempt<T>(field: string, step: () => T): T | undefined {
    try {
      return step()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      for (const one of error.all) this.add(fieldBelow(field, one.field), one.message)
      return undefined
    }
  }

  add(field: string, reason: string): void {
    this.#found.push(new ConfigError(field, reason))
  }

  /** Throws all that was found as one {@link ConfigError}. */
  throwAll(): void {
    const [first, ...others] = this.#found
    if (first !== undefined) throw new ConfigError(first.field, first.message, others)
  }
}

/** The path of a field below another; either may be ''. */
export function fieldBelow(path: string, field: string): string {
  if (path === '' || field === '') return path + field
  return field.startsWith('[') ? path + field : `${path}.${field}`
}

/** Puts the field in front of what goes wrong below it. */
export function within<T>(field: string, work: () => T): T {
  const mistakes = new ConfigMistakes()
  const made = mistakes.attempt(field, work)
  mistakes.throwAll()
  return made as T
}
