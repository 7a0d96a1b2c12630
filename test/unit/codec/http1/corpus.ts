/**
 * Reads `test/corpus/http1/*.md`: under each `##` a sentence of why, the bytes, the events.
 *
 * The bytes stand in a fenced block named `request` or `response`, with settings after the name. Line breaks of the file
 * are layout; those of the message are written: `\r \n \t \0 \\ \xHH`, and `\{text*1000}` for text many times over.
 * The events stand in a block named `log`: the offset, the event, headers indented. `\x20` for a space at a line's end.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventLog, type MessageKind, type ParserSetting, printLog } from './event-log.ts'

export interface CorpusCase {
  /** Name of the file without `.md`. */
  readonly file: string
  readonly name: string
  readonly why: string
  readonly kind: MessageKind
  readonly setting: ParserSetting
  readonly bytes: Buffer
  readonly log: string
}

const folder = join(import.meta.dirname, '..', '..', '..', 'corpus', 'http1')

export function readCorpus(): CorpusCase[] {
  return globSync('*.md', { cwd: folder }).sort().flatMap(readFile)
}

function readFile(name: string): CorpusCase[] {
  const cases: CorpusCase[] = []
  const file = name.replace(/\.md$/, '')
  for (const section of readFileSync(join(folder, name), 'utf8').split(/^## /m).slice(1)) {
    const match = /^(.+)\n([\s\S]*?)```(request|response)(.*)\n([\s\S]*?)```\n+(?:```log\n([\s\S]*?)```\n*)?$/.exec(
      section,
    )
    if (match === null) throw new Error(`${name}: cannot read the case "${section.split('\n')[0]}"`)
    const [, title, why, kind, settings, bytes, log] = match
    cases.push({
      file,
      name: title!.trim(),
      why: why!.trim(),
      kind: kind as MessageKind,
      setting: readSetting(settings!.trim()),
      bytes: bytesOf(bytes!),
      log: log ?? '',
    })
  }
  return cases
}

/** `fin answers=HEAD,GET acceptHttp10 maxHeaders=2` */
function readSetting(text: string): ParserSetting {
  const options: Record<string, boolean | string> = {}
  const limits: Record<string, number> = {}
  const setting: { -readonly [K in keyof ParserSetting]: ParserSetting[K] } = {}
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [key, value] = word.split('=') as [string, string | undefined]
    if (key === 'fin') setting.fin = true
    else if (key === 'tunnel') setting.tunnel = true
    else if (key === 'answers') setting.answers = value!.split(',')
    else if (key.startsWith('max')) limits[key] = Number(value)
    else options[key] = value ?? true
  }
  return { ...setting, options, limits }
}

function bytesOf(text: string): Buffer {
  const flat = text.replaceAll('\n', '')
  const repeated = flat.replace(/\\\{(.*?)\*(\d+)\}/g, (_, part: string, count: string) => part.repeat(Number(count)))
  const plain = repeated.replace(/\\(?:x([0-9a-f]{2})|(.))/gi, (whole, hex: string | undefined, letter: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
    const byte = ESCAPES[letter]
    if (byte === undefined) throw new Error(`unknown escape ${whole}`)
    return byte
  })
  return Buffer.from(plain, 'latin1')
}

const ESCAPES: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', 0: '\0', '\\': '\\', '{': '{' }

/** Writes what the parser does today into every case without a log: a start for a new case, to be read, not trusted. */
function fillMissingLogs(): void {
  for (const name of globSync('*.md', { cwd: folder })) {
    const cases = readFile(name)
    const parts = readFileSync(join(folder, name), 'utf8').split(/^## /m)
    const filled = parts.slice(1).map((section, index) => {
      const { kind, setting, bytes, log } = cases[index]!
      if (log !== '') return section
      return `${section.trimEnd()}\n\n\`\`\`log\n${printLog(eventLog(kind, [bytes], setting, true))}\`\`\`\n\n`
    })
    writeFileSync(join(folder, name), `${[parts[0], ...filled].join('## ').trimEnd()}\n`)
  }
}

if (process.argv[2] === '--fill' && import.meta.filename === process.argv[1]) fillMissingLogs()
