/**
 * What verbs have in common: options read strictly, `--help`, and one way to say what is wrong.
 *
 * Exit codes are those of `hopwise.ts`: 0 done; 1 what was asked for cannot be had, or a check failed; 2 the command line
 * is wrong; 130 interrupted.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { nearest } from '../base/suggest.ts'
import type { CliIo, Verb } from '../base/verb.ts'

export type OptionSet = NonNullable<ParseArgsConfig['options']>

/** The command line is wrong. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** What was asked for cannot be had; the message is for the terminal. */
export class CommandError extends Error {
  override name = 'CommandError'
}

type Values<O extends OptionSet> = ReturnType<
  typeof parseArgs<{ args: string[]; allowPositionals: true; options: O }>
>['values']

export interface Given<O extends OptionSet> {
  readonly values: Values<O>
  readonly positionals: readonly string[]
  readonly io: CliIo
}

/** A verb made of its name, help and options. */
export function command<O extends OptionSet>(
  name: string,
  help: string,
  options: O,
  run: (given: Given<O>) => Promise<number>,
): Verb {
  return async (args, io) => {
    try {
      if (args.includes('--help') || args.includes('-h')) {
        io.out(help)
        return 0
      }
      const { values, positionals } = read(args, options)
      return await run({ values, positionals, io })
    } catch (error) {
      if (error instanceof UsageError) {
        io.error(`hopwise ${name}: ${error.message}\n\n${help}`)
        return 2
      }
      if (!(error instanceof CommandError)) throw error
      io.error(`hopwise ${name}: ${error.message}\n`)
      return 1
    }
  }
}

function read<O extends OptionSet>(args: string[], options: O): { values: Values<O>; positionals: string[] } {
  try {
    return parseArgs({ args, allowPositionals: true, options })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const unknown = /^Unknown option '(--?[^']+)'/.exec(message)?.[1]
    if (code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION' || unknown === undefined) throw new UsageError(message)
    const near = nearest(unknown.replace(/^-+/, ''), Object.keys(options))
    throw new UsageError(`no option ${unknown}${near === undefined ? '' : `, did you mean --${near}?`}`)
  }
}

/** A whole number within its bounds; throws what {@link command} tells. */
export function wholeNumber(option: string, text: string | undefined, fallback: number, least: number, most: number) {
  if (text === undefined) return fallback
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
    throw new UsageError(`${option}: a whole number from ${least} to ${most}, not '${text}'`)
  }
  return value
}

/** A number of seconds above 0. */
export function seconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text.replace(/s$/, ''))
  if (!(value > 0 && value < 1e6)) throw new UsageError(`${option}: a number of seconds, not '${text}'`)
  return value
}
