/** Reporting about decoded messages, by where they stand in the file. */
import type { ProblemCode, Problems } from '../problems.ts'
import { placeOf, SourceDocument, sourceOf } from '../source.ts'

const nowhere = { document: new SourceDocument('<config>'), offset: 0, path: '' }

export class Report {
  readonly problems: Problems
  constructor(problems: Problems) {
    this.problems = problems
  }

  error(message: object, field: string | undefined, text: string, code: ProblemCode = 'reference'): void {
    this.problems.error(placeOf(message, field) ?? nowhere, code, text)
  }

  warning(message: object, field: string | undefined, text: string, code: ProblemCode = 'reference'): void {
    this.problems.warning(placeOf(message, field) ?? nowhere, code, text)
  }

  /** Envoy refuses it, with these words; Hopwise knows what is meant. */
  pedantry(message: object, field: string | undefined, text: string, envoysWords: string): void {
    const place = placeOf(message, field) ?? nowhere
    this.problems.pedantry(`${place.path} ${envoysWords}`, place, text, envoysWords)
  }
}

/** `line 12`, or the path where there are no lines. */
export function lineOf(message: object, field?: string): string {
  const source = sourceOf(message, field)
  return source && source.line > 0 ? `line ${source.line}` : (source?.path ?? 'elsewhere')
}
