/**
 * `hopwise validate FILES…`: every error and warning of each file, with line and column. Exit code 1 if any file has an
 * error, 2 if the command line is wrong, else 0.
 */
import { parseArgs } from 'node:util'
import type { CliIo } from '../base/verb.ts'
import { type LoadedBootstrap, loadBootstrap } from '../config/bootstrap.ts'
import { type FileResult, type ReportFormat, reportWriters } from '../config/problem-report.ts'
import { httpFilters, listenerFilters, loadBalancingPolicies } from '../extensions.ts'
import { checkConfiguration } from '../server/check-configuration.ts'
import { parseServerOptions, type ServerOptions } from '../server/options.ts'

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
  reportWriters[options.format](results, io, options.quiet)
  return results.some(({ errors }) => errors.length > 0) ? 1 : 0
}

/** As {@link checkConfiguration}, with what ships. */
export function checkWhole(loaded: LoadedBootstrap): LoadedBootstrap {
  return checkConfiguration(loaded, {
    options: QUIET_OPTIONS,
    filters: httpFilters,
    policies: loadBalancingPolicies,
    listenerFilters,
  })
}

const QUIET_OPTIONS = parseServerOptions(['-c', 'validate', '--service-cluster', 'validate']) as ServerOptions

interface Options {
  readonly files: readonly string[]
  readonly strict: boolean
  readonly quiet: boolean
  readonly help: boolean
  readonly format: ReportFormat
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

function isFormat(text: string): text is ReportFormat {
  return text === 'text' || text === 'json' || text === 'github'
}
