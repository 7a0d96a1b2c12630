/** What the demo prints: few aligned lines, colours and a moving progress line on a terminal only. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Fault } from './catalogue.ts'
import { type Named, percent, type Verdict } from './judge.ts'

/** Anything that takes longer tells so. */
const PROGRESS_AFTER_MS = 2000

export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
}

export interface Told {
  readonly fault: Fault
  /** What was really broken, where that is not what was announced. */
  readonly reallyBroken: string
  readonly callersSaw: string
  readonly named: Named | undefined
  readonly verdict: Verdict
  readonly link: string
}

export class Terminal {
  readonly #out: Output
  readonly #colours: boolean
  readonly #moves: boolean
  #lineShown = false

  constructor(out: Output, env: Readonly<Record<string, string | undefined>>) {
    this.#out = out
    this.#moves = out.isTTY === true && env['TERM'] !== 'dumb'
    this.#colours = this.#moves && env['NO_COLOR'] === undefined
  }

  line(text = ''): void {
    this.#clear()
    this.#out.write(`${text}\n`)
  }

  /** Waits for `work`; what takes long says so, every two seconds anew where lines can be overwritten. */
  async progress<T>(what: string | (() => string), work: Promise<T>): Promise<T> {
    const started = performance.now()
    const timer = setInterval(() => {
      const seconds = Math.round((performance.now() - started) / 1000)
      const text = `  … ${typeof what === 'string' ? what : what()}, ${seconds} s`
      if (!this.#moves) this.#out.write(`${text}\n`)
      else {
        this.#out.write(`\r\x1b[K${this.dim(text)}`)
        this.#lineShown = true
      }
    }, PROGRESS_AFTER_MS)
    try {
      return await work
    } finally {
      clearInterval(timer)
      this.#clear()
    }
  }

  async wait(what: string, ms: number, signal?: AbortSignal): Promise<void> {
    await this.progress(what, delay(ms, undefined, signal && { signal }))
  }

  /** Three lines on one fault. */
  told(number: number, of: number, { fault, reallyBroken, callersSaw, named, verdict, link }: Told): void {
    const count = `${number}/${of}`.padStart(6)
    this.line(`${this.dim(count)}  ${this.bold(fault.title)}`)
    if (reallyBroken !== '') this.line(`        ${'really'.padEnd(8)}${reallyBroken}`)
    this.line(`        ${'callers'.padEnd(8)}${callersSaw}`)
    const mark = verdict.right ? this.green('√') : this.red('×')
    const why = verdict.right ? '' : this.red(`  ${verdict.why}`)
    this.line(`        ${'named'.padEnd(8)}${mark} ${describe(named)}${why}`)
    const evidence = evidenceText(named)
    if (evidence !== '') this.line(`        ${'by'.padEnd(8)}${evidence}`)
    if (link !== '') this.line(`        ${'page'.padEnd(8)}${this.dim(link)}`)
  }

  /** A table of all that was told, and what it comes to. */
  summary(told: readonly Told[], seconds: number): void {
    const rows = told.map(({ fault, named, verdict }) => ({
      mark: verdict.right ? '√' : '×',
      broken: fault.truth.origin ?? 'nobody',
      title: fault.title,
      named: named === undefined ? 'nobody' : (named.origin ?? 'nobody'),
      cause: named?.cause ?? '',
      confidence: confidenceText(named),
    }))
    const width = (key: keyof (typeof rows)[number]) => Math.max(...rows.map(row => row[key].length), key.length)
    const heads = {
      mark: ' ',
      title: 'fault',
      broken: 'broken',
      named: 'named',
      cause: 'cause',
      confidence: 'evidence',
    }
    const render = (row: Record<keyof (typeof rows)[number], string>) =>
      `${row.title.padEnd(width('title'))}  ${row.broken.padEnd(width('broken'))}  ${row.named.padEnd(width('named'))}` +
      `  ${row.cause.padEnd(width('cause'))}  ${row.confidence}`
    this.line()
    this.line(`    ${this.dim(render(heads))}`)
    for (const row of rows) {
      this.line(`  ${row.mark === '√' ? this.green(row.mark) : this.red(row.mark)} ${render(row)}`)
    }
    const right = told.filter(({ verdict }) => verdict.right).length
    const sentence = `${right} of ${told.length} named rightly, in ${Math.round(seconds)} s`
    this.line()
    this.line(`  ${right === told.length ? this.green(sentence) : this.red(sentence)}`)
  }

  bold(text: string): string {
    return this.#colour(1, text)
  }
  dim(text: string): string {
    return this.#colour(2, text)
  }
  green(text: string): string {
    return this.#colour(32, text)
  }
  red(text: string): string {
    return this.#colour(31, text)
  }

  #colour(code: number, text: string): string {
    return this.#colours ? `\x1b[${code}m${text}\x1b[0m` : text
  }

  #clear(): void {
    if (this.#lineShown) this.#out.write('\r\x1b[K')
    this.#lineShown = false
  }
}

/** `d: connect_refused` */
export function describe(named: Named | undefined): string {
  if (named === undefined) return 'nobody'
  const { origin, cause, subCause, slowerMs, outcome } = named
  if (origin === undefined) return 'nobody: callers went away'
  if (outcome === 'slow') return `${origin}: slower by ${Math.round(slowerMs)} ms a request`
  const ended = outcome === 'visible' ? '' : `, ${outcome}`
  return `${origin}: ${cause}${subCause === '' ? '' : ` (${subCause})`}${ended}`
}

/** `exact 92 %, unique 8 % of 41 · d → c → b → a → front` */
export function evidenceText(named: Named | undefined): string {
  if (named === undefined || named.origin === undefined) return ''
  if (named.outcome === 'slow') return `own time per request, ${percent(named.share)} of what is above the usual`
  const parts = [`${confidenceText(named)} of ${named.count}`]
  if (named.share < 1) parts.push(`${percent(named.share)} of all blame ${named.origin}`)
  if (named.attempts > 1) parts.push(`${named.attempts} attempts`)
  parts.push(named.path.join(' → '))
  return parts.join(' · ')
}

function confidenceText(named: Named | undefined): string {
  if (named === undefined || named.origin === undefined) return ''
  if (named.outcome === 'slow') return 'own time'
  return named.confidences.map(([confidence, share]) => `${confidence} ${percent(share)}`).join(', ')
}
