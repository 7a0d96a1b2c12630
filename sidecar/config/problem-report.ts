/** Errors and warnings of configuration files, as the command line prints them. */
import type { CliIo } from '../base/verb.ts'
import type { LoadedBootstrap } from './bootstrap.ts'
import { type ConfigProblem, formatProblem } from './problems.ts'

export type ReportFormat = 'text' | 'json' | 'github'

export interface FileResult extends Pick<LoadedBootstrap, 'errors' | 'warnings'> {
  readonly file: string
}

export const reportWriters: Readonly<
  Record<ReportFormat, (results: readonly FileResult[], io: CliIo, quiet: boolean) => void>
> = {
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
export function inOrder(errors: readonly ConfigProblem[], warnings: readonly ConfigProblem[]): ConfigProblem[] {
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
