/**
 * `--log-format`: a line of the process log by a pattern of spdlog's (`[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v`), as Envoy
 * takes it and Istio gives it. Flags may be padded (`%-8l`, `%8l`, `%=8l`; `!` cuts too).
 *
 * There are no source positions here, so what names them (`%g`, `%s`, `%#`, `%!`, `%@`) is empty, as spdlog leaves it where
 * it knows none; colours (`%^`, `%$`) are not written. An unknown flag stands as it is.
 */
import { threadId } from 'node:worker_threads'

/** What a line says; `message` has its fields behind it. */
export interface LogLine {
  readonly atMs: number
  readonly level: string
  readonly component: string
  readonly message: string
}

type Flag = (line: LogLine, date: Date) => string

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = 'January February March April May June July August September October November December'.split(' ')

const digits = (number: number, width = 2) => String(number).padStart(width, '0')
const hour12 = (date: Date) => date.getHours() % 12 || 12
const half = (date: Date) => (date.getHours() < 12 ? 'AM' : 'PM')
const clock = (date: Date) =>
  [date.getHours(), date.getMinutes(), date.getSeconds()].map(part => digits(part)).join(':')
const shortDate = (date: Date) =>
  `${digits(date.getMonth() + 1)}/${digits(date.getDate())}/${digits(date.getFullYear() % 100)}`
const dateAndTime = (date: Date) =>
  `${DAYS[date.getDay()]!.slice(0, 3)} ${MONTHS[date.getMonth()]!.slice(0, 3)} ${date.getDate()} ${clock(date)} ${date.getFullYear()}`
const nothing = () => ''

function zone(date: Date): string {
  const minutes = -date.getTimezoneOffset()
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${digits(Math.trunc(size / 60))}:${digits(size % 60)}`
}

/** `%_` and `%j` are Envoy's own: the message with escaped line breaks, and as the inside of a JSON string. */
const FLAGS: Readonly<Record<string, Flag>> = {
  v: ({ message }) => message,
  _: ({ message }) => message.replaceAll('\n', '\\n'),
  j: ({ message }) => JSON.stringify(message).slice(1, -1),
  l: ({ level }) => level,
  L: ({ level }) => level.slice(0, 1).toUpperCase(),
  n: ({ component }) => component,
  t: () => String(threadId),
  P: () => String(process.pid),
  Y: (_, date) => String(date.getFullYear()),
  C: (_, date) => digits(date.getFullYear() % 100),
  m: (_, date) => digits(date.getMonth() + 1),
  d: (_, date) => digits(date.getDate()),
  H: (_, date) => digits(date.getHours()),
  I: (_, date) => digits(hour12(date)),
  M: (_, date) => digits(date.getMinutes()),
  S: (_, date) => digits(date.getSeconds()),
  e: (_, date) => digits(date.getMilliseconds(), 3),
  f: (_, date) => `${digits(date.getMilliseconds(), 3)}000`,
  F: (_, date) => `${digits(date.getMilliseconds(), 3)}000000`,
  E: ({ atMs }) => String(Math.trunc(atMs / 1000)),
  p: (_, date) => half(date),
  r: (_, date) => `${digits(hour12(date))}:${digits(date.getMinutes())}:${digits(date.getSeconds())} ${half(date)}`,
  R: (_, date) => clock(date).slice(0, 5),
  T: (_, date) => clock(date),
  X: (_, date) => clock(date),
  D: (_, date) => shortDate(date),
  x: (_, date) => shortDate(date),
  c: (_, date) => dateAndTime(date),
  a: (_, date) => DAYS[date.getDay()]!.slice(0, 3),
  A: (_, date) => DAYS[date.getDay()]!,
  b: (_, date) => MONTHS[date.getMonth()]!.slice(0, 3),
  h: (_, date) => MONTHS[date.getMonth()]!.slice(0, 3),
  B: (_, date) => MONTHS[date.getMonth()]!,
  z: (_, date) => zone(date),
  '%': () => '%',
  g: nothing,
  s: nothing,
  '#': nothing,
  '!': nothing,
  '@': nothing,
  '^': nothing,
  $: nothing,
}

/** Compiles a pattern; what it gives ends with a line break, as every line of the log. */
export function compileLogPattern(pattern: string): (line: LogLine) => string {
  const parts: (string | Flag)[] = []
  let end = 0
  for (const match of pattern.matchAll(/%([-=]?\d{1,2}!?)?(.)/gs)) {
    const [whole, padding = '', name = ''] = match
    parts.push(pattern.slice(end, match.index))
    end = match.index + whole.length
    const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name]! : undefined
    parts.push(flag === undefined ? whole : padding === '' ? flag : padded(flag, padding))
  }
  parts.push(pattern.slice(end))
  return line => {
    const date = new Date(line.atMs)
    return `${parts.map(part => (typeof part === 'string' ? part : part(line, date))).join('')}\n`
  }
}

function padded(flag: Flag, padding: string): Flag {
  const width = Number(/\d+/.exec(padding))
  const cuts = padding.endsWith('!')
  return (line, date) => {
    const text = flag(line, date)
    if (text.length > width) return cuts ? text.slice(0, width) : text
    if (padding.startsWith('-')) return text.padEnd(width)
    if (!padding.startsWith('=')) return text.padStart(width)
    return text.padStart(text.length + Math.trunc((width - text.length) / 2)).padEnd(width)
  }
}
