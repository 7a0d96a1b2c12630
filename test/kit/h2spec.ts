/** Runs h2spec (https://github.com/summerwind/h2spec) against a port and reads what it found. */
import { readFileSync } from 'node:fs'
import { part } from './parts.ts'
import { TestProcess } from './process.ts'
import { temporaryFile } from './proxy-process.ts'

export interface SpecResult {
  readonly passed: number
  readonly skipped: readonly string[]
  readonly failed: readonly string[]
}

/** `args`: more of h2spec's own, as `--tls --insecure`. Without `-S` it runs its 145 ordinary cases. */
export async function runH2spec(port: number, args: readonly string[] = []): Promise<SpecResult> {
  const report = temporaryFile('h2spec.xml', '')
  const address = ['-h', '127.0.0.1', '-p', String(port), '-o', '2', '-j', report]
  const spec = TestProcess.start(await part('h2spec'), [...address, ...args], { name: 'h2spec' })
  await spec.exited
  return readReport(readFileSync(report, 'utf8'), spec.output)
}

function readReport(xml: string, output: string): SpecResult {
  const cases = [
    ...xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g),
  ]
  if (cases.length === 0) throw new Error(`h2spec reported nothing:\n${output}`)
  const name = ([, section, title]: RegExpExecArray) => `${section}: ${title}`
  const inside = (match: RegExpExecArray) => match[3] ?? ''
  const failed = cases.filter(match => /<(failure|error)/.test(inside(match)))
  const skipped = cases.filter(match => inside(match).includes('<skipped'))
  return {
    passed: cases.length - failed.length - skipped.length,
    skipped: skipped.map(name),
    failed: failed.map(match => `${name(match)}\n${inside(match)}`),
  }
}
