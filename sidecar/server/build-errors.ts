/** What is wrong, or doubtful, with a decoded configuration: found while it is built, gathered with its place. */
import { ConfigError, fieldBelow } from '../config/config-error.ts'
import type { ConfigProblem } from '../config/problems.ts'
import { sourceAtPath } from '../config/source.ts'

/** A finding with the message it is in, so that its place in the file can be found. */
export class BuildError extends Error {
  override name = 'BuildError'
  readonly path: string
  readonly at: object | undefined
  constructor(path: string, reason: string, at?: object) {
    super(reason)
    this.path = path
    this.at = at
  }
}

/** Collects what is wrong while building goes on, so that one load tells all. */
export class BuildErrors {
  readonly errors: BuildError[] = []
  readonly warnings: BuildError[] = []
  /** Clusters that are configured, and yet are not there for a mistake of theirs: to name one of them is no second one. */
  readonly brokenClusters = new Set<string>()
  /** Whether what is built holds mistakes that decoding has told: what they make fail is no mistake of its own. */
  readonly #isPartial: boolean

  constructor(options: { readonly isPartial?: boolean } = {}) {
    this.#isPartial = options.isPartial ?? false
  }

  /** Runs what throws {@link BuildError} or {@link ConfigError}, both with paths below `path`. */
  attempt<T>(path: string, at: object | undefined, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (error instanceof BuildError) this.add(fieldBelow(path, error.path), error.message, error.at ?? at)
      else if (error instanceof ConfigError) {
        for (const { field, message } of error.all) this.add(fieldBelow(path, field), message, at)
      } else if (!this.#isPartial) throw error
      return undefined
    }
  }

  add(path: string, reason: string, at?: object): void {
    this.errors.push(new BuildError(path, reason, at))
  }

  warn(path: string, reason: string, at?: object): void {
    this.warnings.push(new BuildError(path, reason, at))
  }

  /** Both in the form of what decoding finds. */
  get problems(): { readonly errors: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] } {
    return {
      errors: this.errors.map(error => problemOf(error, 'error')),
      warnings: this.warnings.map(warning => problemOf(warning, 'warning')),
    }
  }
}

function problemOf({ path, at, message }: BuildError, severity: 'error' | 'warning'): ConfigProblem {
  const place = at === undefined ? undefined : sourceAtPath(at, path)
  return {
    severity,
    code: severity === 'error' ? 'extension' : 'advice',
    file: place?.file ?? '<config>',
    line: place?.line ?? 0,
    column: place?.column ?? 0,
    path,
    message,
  }
}
