/** What a verb gets to talk to the world with, so that tests can listen. */
export interface CliIo {
  out(text: string): void
  error(text: string): void
  /** All of standard input. */
  stdin(): Promise<string>
  readonly isTerminal: boolean
  /** Standard output may have colours: a terminal, and nobody said `NO_COLOR` (no-color.org). */
  readonly colours: boolean
  /** The same of standard error. */
  readonly errorColours: boolean
}

/** Runs with the arguments after the verb's name; the result is the exit code. */
export type Verb = (args: string[], io: CliIo) => Promise<number>
