/** One line of `hopwise check`. */
export interface Check {
  readonly group: string
  /** Stable, for machines: `clusters.hosts`. */
  readonly id: string
  readonly status: 'ok' | 'warning' | 'error'
  readonly text: string
  /** What to do; '' where there is nothing. */
  readonly hint: string
}

const RANKS: readonly Check['status'][] = ['ok', 'warning', 'error']

export function isWorse(one: Check['status'], other: Check['status']): boolean {
  return RANKS.indexOf(one) > RANKS.indexOf(other)
}

/** Checks of one group. */
export class Checks {
  readonly all: Check[] = []
  readonly #group: string

  constructor(group: string) {
    this.#group = group
  }

  ok(id: string, text: string): void {
    this.all.push({ group: this.#group, id, status: 'ok', text, hint: '' })
  }

  warning(id: string, text: string, hint: string): void {
    this.all.push({ group: this.#group, id, status: 'warning', text, hint })
  }

  error(id: string, text: string, hint: string): void {
    this.all.push({ group: this.#group, id, status: 'error', text, hint })
  }
}
