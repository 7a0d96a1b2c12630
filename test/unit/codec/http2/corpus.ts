/**
 * Reads `test/corpus/http2/*.md`: under each `##` a sentence of why, the frames, the events.
 *
 * The frames stand in a fenced block named `server` or `client` after the role of the connection, settings after the name
 * (`maxHeaders=2 allowConnect answer requests=GET,HEAD`). They are written as `frames.ts` reads them; before them come the
 * preface, where the connection is a server, and an empty SETTINGS, unless the block is marked `bare`. The events stand in
 * a block named `log`, and behind them what was sent.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PREFACE } from '../../../../sidecar/codec/http2/frame/frame-type.ts'
import { type ConnectionSetting, printRun, type Role, run } from './event-log.ts'
import { framesOf } from './frames.ts'

export interface CorpusCase {
  /** Name of the file without `.md`. */
  readonly file: string
  readonly name: string
  readonly why: string
  readonly role: Role
  readonly setting: ConnectionSetting
  readonly bytes: Buffer
  readonly log: string
}

const folder = join(import.meta.dirname, '..', '..', '..', 'corpus', 'http2')

export function readCorpus(): CorpusCase[] {
  return globSync('*.md', { cwd: folder }).sort().flatMap(readFile)
}

function readFile(name: string): CorpusCase[] {
  const cases: CorpusCase[] = []
  const file = name.replace(/\.md$/, '')
  for (const section of readFileSync(join(folder, name), 'utf8').split(/^## /m).slice(1)) {
    const match = /^(.+)\n([\s\S]*?)```(server|client)(.*)\n([\s\S]*?)```\n+(?:```log\n([\s\S]*?)```\n*)?$/.exec(
      section,
    )
    if (match === null) throw new Error(`${name}: cannot read the case "${section.split('\n')[0]}"`)
    const [, title, why, kind, settings, frames, log] = match
    const role = kind as Role
    const words = settings!.trim().split(/\s+/).filter(Boolean)
    const start = words.includes('bare') ? [] : [role === 'server' ? PREFACE : EMPTY, framesOf('SETTINGS')]
    cases.push({
      file,
      name: title!.trim(),
      why: why!.trim(),
      role,
      setting: readSetting(words),
      bytes: Buffer.concat([...start, framesOf(frames!)]),
      log: log ?? '',
    })
  }
  return cases
}

const EMPTY = Buffer.alloc(0)

function readSetting(words: readonly string[]): ConnectionSetting {
  const options: Record<string, boolean | string | number> = {}
  const setting: { -readonly [K in keyof ConnectionSetting]: ConnectionSetting[K] } = {}
  for (const word of words) {
    const [key, value] = word.split('=') as [string, string | undefined]
    if (key === 'bare') continue
    if (key === 'answer') setting.answer = true
    else if (key === 'requests') setting.requests = value!.split(',')
    else options[key] = value === undefined ? true : /^\d+$/.test(value) ? Number(value) : value
  }
  return { ...setting, options }
}

export function requestsOf({ role, setting }: CorpusCase): number {
  return role === 'server' ? 0 : (setting.requests?.length ?? 1)
}

/** Writes what the codec does today into every case without a log: a start for a new case, to be read, not trusted. */
function fillMissingLogs(): void {
  for (const name of globSync('*.md', { cwd: folder })) {
    const cases = readFile(name)
    const parts = readFileSync(join(folder, name), 'utf8').split(/^## /m)
    const filled = parts.slice(1).map((section, index) => {
      const one = cases[index]!
      if (one.log !== '') return section
      const log = printRun(run(one.role, [one.bytes], one.setting), requestsOf(one))
      return `${section.trimEnd()}\n\n\`\`\`log\n${log}\`\`\`\n\n`
    })
    writeFileSync(join(folder, name), `${[parts[0], ...filled].join('## ').trimEnd()}\n`)
  }
}

if (process.argv[2] === '--fill' && import.meta.filename === process.argv[1]) fillMissingLogs()
