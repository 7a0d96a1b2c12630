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
