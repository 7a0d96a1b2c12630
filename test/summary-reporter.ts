/**
 * The reporter of `npm test`: a sign of life at most every two seconds, every failure in full as soon as it is known, and
 * at the end what failed once more in short, the slowest tests and files, coverage in one line, and Node's own closing lines
 * (`# tests N`, `# pass N`, …). `.ci/run` repeats the part that {@link FAILED_HEADING} begins.
 */

import { relative } from 'node:path'
import type { EventData } from 'node:test'
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

const PROGRESS_EVERY_MS = 2000
const SLOWEST = 8
/** Below this nobody wonders where the time went. */
const SLOW_MS = 500
const TOTAL = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/
const FAILED_HEADING = 'failed:'
/** Of each failure in the list at the end. */
const RECAP_LINES = 12

export default async function* summaryReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const slowTests: Timed[] = []
  const slowFiles: Timed[] = []
  /** What a file's tests wrote, shown only when one of them fails. */
  const written = new Map<string, string>()
  const failedFiles = new Set<string>()
  const recap: string[] = []
  /** Of one run, or of several one after another. */
  const totals = new Map<string, number>()
  let passed = 0
  let failed = 0
  let coverage = ''
  let lastProgress = performance.now()

  for await (const event of source) {
    switch (event.type) {
      case 'test:pass': {
        const { data } = event
        if (data.details.type === 'suite' || data.skip !== undefined || data.todo !== undefined) break
        passed++
        if (data.nesting === 0) slowTests.push({ name: `${data.name} (${place(data)})`, ms: data.details.duration_ms })
        break
      }
      case 'test:fail': {
        const { data } = event
        const error = data.details.error as Error & { failureType?: string; cause?: unknown }
        // A parent fails because of its children, which have been shown.
        if (error.failureType === 'subtestsFailed') break
        failed++
        const text = indent(errorText(error.cause ?? error))
        yield `\n✖ ${data.name}\n  at ${place(data)}\n${text}\n`
        // What is marked as `todo` fails nobody.
        if (data.todo === undefined) {
          const lines = text.split('\n').filter(line => line.trim() !== '')
          recap.push(`✖ ${data.name}\n  at ${place(data)}\n${lines.slice(0, RECAP_LINES).join('\n')}\n`)
        }
        if (data.file !== undefined) failedFiles.add(data.file)
        break
      }
      case 'test:stdout':
      case 'test:stderr': {
        const file = event.data.file ?? ''
        // Bounded: a test that floods its output must not fill the memory of the runner.
        const text = written.get(file) ?? ''
        if (text.length < 100_000) written.set(file, text + event.data.message)
        break
      }
      case 'test:summary': {
        const { file, duration_ms: ms } = event.data
        if (file !== undefined) slowFiles.push({ name: relative(process.cwd(), file), ms })
        break
      }
      case 'test:coverage': {
        const { totals, files } = event.data.summary
        const percent = (value: number) => `${value.toFixed(1)} %`
        coverage = `# coverage ${percent(totals.coveredLinePercent)} of the lines of ${files.length} files (branches ${percent(totals.coveredBranchPercent)})\n`
        break
      }
      case 'test:diagnostic':
        // Node repeats its totals as diagnostics of the whole run; those of single tests are nested deeper.
        if (event.data.nesting === 0) {
          const [, name, value] = TOTAL.exec(event.data.message) ?? []
          if (name !== undefined) totals.set(name, (totals.get(name) ?? 0) + Number(value))
        }
        break
      default:
    }
    if (performance.now() - lastProgress > PROGRESS_EVERY_MS) {
      lastProgress = performance.now()
      yield `… ${passed} passed${failed > 0 ? `, ${failed} failed` : ''}\n`
    }
  }

  for (const file of failedFiles) {
    const text = written.get(file)
    if (text !== undefined) yield `\nWritten by ${relative(process.cwd(), file)}:\n${indent(text.slice(0, 10_000))}\n`
  }
  yield slowest('slowest tests', slowTests)
  yield slowest('slowest files', slowFiles)
  if (recap.length > 0) yield `\n${FAILED_HEADING}\n${recap.join('')}\n`
  yield `\n${coverage}`
  for (const [name, value] of totals) yield `# ${name} ${Number(value.toFixed(3))}\n`
}

interface Timed {
  readonly name: string
  readonly ms: number
}

function slowest(title: string, timed: readonly Timed[]): string {
  const slow = timed.filter(({ ms }) => ms > SLOW_MS).sort((a, b) => b.ms - a.ms)
  if (slow.length === 0) return ''
  const lines = slow.slice(0, SLOWEST).map(({ name, ms }) => `  ${(ms / 1000).toFixed(1)} s  ${name}\n`)
  return `\n${title}:\n${lines.join('')}`
}

function place(data: EventData.TestPass | EventData.TestFail): string {
  if (data.file === undefined) return '?'
  return `${relative(process.cwd(), data.file)}${data.line === undefined ? '' : `:${data.line}`}`
}

/** Message and stack without the runner's own frames; an assertion's message already shows the difference. */
function errorText(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error, { colors: false, depth: 8 })
  const lines = String(error.stack).split('\n')
  const text = lines.filter(line => !/^\s+at .*(node:internal|node:async_hooks)/.test(line)).join('\n')
  return error.cause === undefined ? text : `${text}\ncaused by ${errorText(error.cause)}`
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ').trimEnd()
}
