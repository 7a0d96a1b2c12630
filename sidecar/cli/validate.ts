/**
 * `hopwise validate FILES…`: every error and warning of each file, with line and column. Exit code 1 if any file has an
 * error, 2 if the command line is wrong, else 0.
 */
import { parseArgs } from 'node:util'
import type { CliIo } from '../base/verb.ts'
import { type LoadedBootstrap, loadBootstrap } from '../config/bootstrap.ts'
import { type ConfigProblem, formatProblem } from '../config/problems.ts'
import { httpFilters, listenerFilters, loadBalancingPolicies } from '../extensions.ts'
import { parseServerOptions, type ServerOptions } from '../server/options.ts'
import { Server } from '../server/server.ts'

export const validateHelp = `usage: hopwise validate [--strict] [--format=text|json|github] FILE…

Checks Envoy configurations and prints every error and warning with its place. "-" reads standard input.

  --strict         refuse what Envoy refuses for its form only (by default a warning)
  --format=text    one line each, as compilers print them (the default)
  --format=json    one JSON document, for machines; --json is the same
  --format=github  annotations of GitHub Actions
  -q, --quiet      no warnings and no summary

  hopwise validate envoy.yaml
  hopwise validate --strict --format=github configs/*.yaml
`

type Format = 'text' | 'json' | 'github'

export async function validate(args: string[], io: CliIo): Promise<number> {
  const options = readOptions(args)
  if (typeof options === 'string') {
    io.error(`${options}\n\n${validateHelp}`)
    return 2
  }
  if (options.help) {
    io.out(validateHelp)
    return 0
  }
  const results: FileResult[] = []
  for (const file of options.files) {
    const input = file === '-' ? { file: '<stdin>', text: await io.stdin() } : { file }
    results.push({ file: input.file, ...checkWhole(loadBootstrap({ ...input, strict: options.strict })) })
  }
  writers[options.format](results, io, options.quiet)
  return results.some(({ errors }) => errors.length > 0) ? 1 : 0
}

/** What decoding cannot find is found by building everything, without starting it: filters, routes, formats, limits. */
export function checkWhole(loaded: LoadedBootstrap): LoadedBootstrap {
  if (loaded.bootstrap === undefined) return loaded
  const server = new Server({
    options: QUIET_OPTIONS,
    bootstrap: loaded.bootstrap,
    filters: httpFilters,
    policies: loadBalancingPolicies,
    listenerFilters,
    reload: () => loaded,
  })
  const errors = server.check()
  void server.stop()
  return { ...loaded, errors: [...loaded.errors, ...errors] }
}

const QUIET_OPTIONS = parseServerOptions(['-c', 'validate', '--service-cluster', 'validate']) as ServerOptions

interface FileResult extends LoadedBootstrap {
  readonly file: string
}

interface Options {
  readonly files: readonly string[]
  readonly strict: boolean
  readonly quiet: boolean
  readonly help: boolean
  readonly format: Format
}

/** The options, or what is wrong with the command line. */
function readOptions(args: readonly string[]): Options | string {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        strict: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        format: { type: 'string' },
        quiet: { type: 'boolean', short: 'q', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    const format = values.format ?? (values.json ? 'json' : 'text')
    if (!isFormat(format)) return `--format is text, json or github, not "${format}"`
    if (positionals.length === 0 && !values.help) return 'hopwise validate needs a file'
    return { files: positionals, strict: values.strict, quiet: values.quiet, help: values.help, format }
  } catch (error) {
    return (error as Error).message
  }
}

function isFormat(text: string): text is Format {
  return text === 'text' || text === 'json' || text === 'github'
}

const writers: Readonly<Record<Format, (results: readonly FileResult[], io: CliIo, quiet: boolean) => void>> = {
  text: writeText,
  json: writeJson,
  github: writeGithub,
}

function writeText(results: readonly FileResult[], io: CliIo, quiet: boolean): void {
  for (const { file, errors, warnings } of results) {
    for (const problem of inOrder(errors, quiet ? [] : warnings)) io.error(`${highlight(problem, io.errorColours)}\n`)
    if (!quiet) io.error(`${file}: ${summary(errors, warnings)}\n`)
  }
}

function summary(errors: readonly ConfigProblem[], warnings: readonly ConfigProblem[]): string {
  const counts = [count(errors.length, 'error'), count(warnings.length, 'warning')].filter(text => text !== '')
  return counts.length === 0 ? 'ok' : `${errors.length === 0 ? 'ok, ' : ''}${counts.join(', ')}`
}

function count(number: number, what: string): string {
  return number === 0 ? '' : `${number} ${what}${number === 1 ? '' : 's'}`
}

/** Errors and warnings as they stand in the file. */
function inOrder(errors: readonly ConfigProblem[], warnings: readonly ConfigProblem[]): ConfigProblem[] {
  return [...errors, ...warnings].sort((a, b) => a.line - b.line || a.column - b.column)
}

function highlight(problem: ConfigProblem, colors: boolean): string {
  const text = formatProblem(problem)
  if (!colors) return text
  const color = problem.severity === 'error' ? '31' : '33'
  return text.replace(`: ${problem.severity}: `, `: \u001b[${color}m${problem.severity}\u001b[0m: `)
}

function writeJson(results: readonly FileResult[], io: CliIo, quiet: boolean): void {
  const files = results.map(({ file, errors, warnings }) => ({
    file,
    ok: errors.length === 0,
    errors,
    warnings: quiet ? [] : warnings,
  }))
  io.out(`${JSON.stringify({ ok: files.every(({ ok }) => ok), files }, undefined, 2)}\n`)
}

function writeGithub(results: readonly FileResult[], io: CliIo, quiet: boolean): void {
  for (const { errors, warnings } of results) {
    for (const problem of inOrder(errors, quiet ? [] : warnings)) {
      const { severity, file, line, column, path, message } = problem
      const place = line > 0 ? `,line=${line},col=${column}` : ''
      const text = escapeData(path === '' ? message : `${path}: ${message}`)
      io.out(`::${severity} file=${escapeProperty(file)}${place}::${text}\n`)
    }
  }
}

/** As the Actions toolkit escapes workflow commands. */
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
