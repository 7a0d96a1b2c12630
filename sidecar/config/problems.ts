/**
 * What is wrong, or doubtful, in a configuration: gathered in full, never thrown one at a time, each with its place.
 */
import type { SourceDocument } from './source.ts'

export type Severity = 'error' | 'warning'

/**
 * What kind of finding it is, for machines:
 * `syntax` not YAML or JSON · `unknown-field` · `type` a value of the wrong kind · `rule` a validation rule is broken ·
 * `oneof` · `unsupported` Envoy has it, Hopwise does not yet · `no-effect` accepted, changes nothing · `deprecated` ·
 * `pedantry` Envoy refuses the form, Hopwise understands it · `duplicate` · `reference` · `extension` ·
 * `fragment` not a whole bootstrap · `advice` it loads, but hardly does what was meant.
 */
export type ProblemCode =
  | 'syntax'
  | 'unknown-field'
  | 'type'
  | 'rule'
  | 'oneof'
  | 'unsupported'
  | 'no-effect'
  | 'deprecated'
  | 'pedantry'
  | 'duplicate'
  | 'reference'
  | 'extension'
  | 'fragment'
  | 'advice'

export interface ConfigProblem {
  readonly severity: Severity
  readonly code: ProblemCode
  readonly file: string
  /** From 1; 0 where the configuration came as protobuf and has no lines. */
  readonly line: number
  readonly column: number
  /** `static_resources.listeners[0].name`, in the names of the protos; empty for the whole file. */
  readonly path: string
  readonly message: string
}

/** Where a problem is: a place in a document, by offset, and the field's path. */
export interface Place {
  readonly document: SourceDocument
  readonly offset: number
  readonly path: string
}

/** `envoy.yaml:23:17: error: route.clustr: unknown field, did you mean "cluster"?` */
export function formatProblem(problem: ConfigProblem): string {
  const { file, line, column, severity, path, message } = problem
  const place = line > 0 ? `${file}:${line}:${column}` : file
  return `${place}: ${severity}: ${path === '' ? '' : `${path}: `}${message}`
}

/**
 * Collects problems. A file made to provoke a million of them gets the first thousand and a count, so that answering
 * a bad configuration stays cheap.
 */
export class Problems {
  readonly #strict: boolean
  readonly #found: ConfigProblem[] = []
  readonly #saidOnce = new Set<string>()
  #errorCount = 0
  #beyondLimit = 0

  constructor(strict = false) {
    this.#strict = strict
  }

  get strict(): boolean {
    return this.#strict
  }

  get errorCount(): number {
    return this.#errorCount
  }

  error(place: Place, code: ProblemCode, message: string): void {
    this.#errorCount++
    this.#add('error', place, code, message)
  }

  warning(place: Place, code: ProblemCode, message: string): void {
    this.#add('warning', place, code, message)
  }

  /** One warning per `key` and load: a listener template copied forty times should not say the same forty times. */
  warnOnce(key: string, place: Place, code: ProblemCode, message: string): void {
    if (this.#saidOnce.has(key)) return
    this.#saidOnce.add(key)
    this.warning(place, code, message)
  }

  /** Envoy refuses this form, though its meaning is plain: a warning, or an error under --strict. */
  pedantry(key: string, place: Place, message: string, envoysWords?: string): void {
    const text = envoysWords ? `${message} (Envoy refuses this: "${envoysWords}")` : message
    if (this.#strict) this.error(place, 'pedantry', text)
    else this.warnOnce(`pedantry ${key}`, place, 'pedantry', text)
  }

  get errors(): readonly ConfigProblem[] {
    return this.#list('error')
  }

  get warnings(): readonly ConfigProblem[] {
    return this.#list('warning')
  }

  #list(severity: Severity): readonly ConfigProblem[] {
    const list = this.#found.filter(problem => problem.severity === severity)
    list.sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : 0))
    const last = list.at(-1)
    if (last && this.#beyondLimit > 0) {
      list.push({ ...last, path: '', message: `and ${this.#beyondLimit} more problems, not shown` })
    }
    return list
  }

  #add(severity: Severity, place: Place, code: ProblemCode, message: string): void {
    if (this.#found.length >= maxProblems) {
      this.#beyondLimit++
      return
    }
    const { line, column } = place.document.position(place.offset)
    this.#found.push({ severity, code, file: place.document.file, line, column, path: place.path, message })
  }
}

const maxProblems = 1000
