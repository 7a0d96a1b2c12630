/** A mistake in the configuration of one part: `field` is the path below the part's own message. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly field: string
  constructor(field: string, reason: string) {
    super(reason)
    this.field = field
  }
}
