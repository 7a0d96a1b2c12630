/**
 * Times in formats: `%START_TIME(%Y-%m-%dT%H:%M:%S.%3f %z)%`.
 *
 * The specifiers are those of `strftime` plus Envoy's `%f` (nanoseconds), `%1f` to `%9f`, `%s` and abseil's `%E3S`,
 * `%E*S`, `%Ez`, `%E4Y`. A specifier nobody knows is printed as it stands, as glibc does. Times have whole
 * milliseconds, so that finer digits are zeros.
 */
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** A moment taken apart, in UTC or local time. */
interface Fields {
  readonly ms: number
  readonly year: number
  /** From 0. */
  readonly month: number
  readonly day: number
  readonly weekday: number
  /** From 1. */
  readonly yearDay: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly millisecond: number
  readonly offsetMinutes: number
  readonly local: boolean
}

type Part = string | ((fields: Fields) => string)

/** Compiles a time format; '' gives Envoy's default, `2026-11-21T08:39:37.459Z` or `…459+0100` in local time. */
export function compileTimeFormat(format: string, local: boolean): (ms: number) => string {
  if (format === '') return local ? lastKept(ms => render(LOCAL_DEFAULT, fieldsOf(ms, true))) : utcMilliseconds
  const parts = parse(format)
  return lastKept(ms => render(parts, fieldsOf(ms, local)))
}

/** Envoy refuses what would put a line break into a header: `%n` with any flags and width. */
export function timeFormatHasNewline(format: string): boolean {
  return /%[-_0^#]*[1-9]*(E|O)?n/.test(format)
}

let utcSecond = Number.NaN
let utcPrefix = ''

/** `2026-11-21T08:39:37.459Z`; the part before the dot is made once a second. */
export function utcMilliseconds(ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== utcSecond) {
    utcSecond = second
    utcPrefix = new Date(second * 1000).toISOString().slice(0, 20)
  }
  const rest = ms - second * 1000
  return `${utcPrefix}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${Math.floor(rest)}Z`
}

/** Requests of one millisecond share the text. */
function lastKept(make: (ms: number) => string): (ms: number) => string {
  let lastMs = Number.NaN
  let lastText = ''
  return ms => {
    if (ms !== lastMs) {
      lastText = make(ms)
      lastMs = ms
    }
    return lastText
  }
}

function fieldsOf(ms: number, local: boolean): Fields {
  const date = new Date(ms)
  const offsetMinutes = local ? -date.getTimezoneOffset() : 0
  // A UTC date moved by the offset has local readings in its UTC getters: one code for both.
  const shifted = new Date(ms + offsetMinutes * MINUTE_MS)
  const year = shifted.getUTCFullYear()
  return {
    ms,
    year,
    month: shifted.getUTCMonth(),
    day: shifted.getUTCDate(),
    weekday: shifted.getUTCDay(),
    yearDay: Math.floor((shifted.getTime() - Date.UTC(year, 0, 1)) / DAY_MS) + 1,
    hour: shifted.getUTCHours(),
    minute: shifted.getUTCMinutes(),
    second: shifted.getUTCSeconds(),
    millisecond: shifted.getUTCMilliseconds(),
    offsetMinutes,
    local,
  }
}

function render(parts: readonly Part[], fields: Fields): string {
  let out = ''
  for (const part of parts) out += typeof part === 'string' ? part : part(fields)
  return out
}

const SPECIFIER =
  /%(?:(?<fraction>[1-9])f|E(?<extended>[1-9]S|\*S|[1-9]f|\*f|4Y|z|T)|:z|(?<flag>[-_0^#]?)(?<width>\d*)(?<letter>[A-Za-z%]))/g

function parse(format: string): Part[] {
  const parts: Part[] = []
  let end = 0
  for (const match of format.matchAll(SPECIFIER)) {
    if (match.index > end) parts.push(format.slice(end, match.index))
    end = match.index + match[0].length
    parts.push(specifier(match[0], match.groups as Groups))
  }
  if (end < format.length) parts.push(format.slice(end))
  return parts
}

interface Groups {
  readonly fraction?: string
  readonly extended?: string
  readonly flag?: string
  readonly width?: string
  readonly letter?: string
}

function specifier(text: string, { fraction, extended, flag, width, letter }: Groups): Part {
  if (fraction !== undefined) return fields => nanoseconds(fields).slice(0, Number(fraction))
  if (extended !== undefined) return extendedPart(extended)
  if (letter === undefined) return fields => offset(fields, ':')
  const plain = LETTERS[letter]
  if (plain === undefined || (letter === 'f' && text !== '%f')) return text
  if (flag === '' && width === '') return plain.text
  return fields => flagged(plain, fields, flag!, Number(width))
}

function extendedPart(specifier: string): Part {
  if (specifier === 'z') return fields => offset(fields, ':')
  if (specifier === 'T') return 'T'
  if (specifier === '4Y') return fields => String(fields.year).padStart(4, '0')
  const digits = specifier[0]!
  const fraction = (fields: Fields) =>
    digits === '*' ? nanoseconds(fields).replace(/0+$/, '') : nanoseconds(fields).slice(0, Number(digits))
  if (specifier.endsWith('f')) return fields => fraction(fields) || '0'
  return fields => {
    const rest = fraction(fields)
    return rest === '' ? two(fields.second) : `${two(fields.second)}.${rest}`
  }
}

interface Letter {
  readonly text: (fields: Fields) => string
  /** Filled with blanks rather than zeros. */
  readonly blank?: true
  readonly numeric?: true
}

const number = (read: (fields: Fields) => number, width: number): Letter => ({
  text: fields => String(read(fields)).padStart(width, '0'),
  numeric: true,
})
const blank = (read: (fields: Fields) => number, width: number): Letter => ({
  text: fields => String(read(fields)).padStart(width, ' '),
  numeric: true,
  blank: true,
})
const text = (read: (fields: Fields) => string): Letter => ({ text: read })
const hour12 = (fields: Fields) => fields.hour % 12 || 12
const made = (format: string): Letter => {
  let parts: Part[] | undefined
  return { text: fields => render((parts ??= parse(format)), fields) }
}

const LETTERS: Readonly<Record<string, Letter>> = {
  '%': text(() => '%'),
  A: text(fields => DAYS[fields.weekday]!),
  a: text(fields => DAYS[fields.weekday]!.slice(0, 3)),
  B: text(fields => MONTHS[fields.month]!),
  b: text(fields => MONTHS[fields.month]!.slice(0, 3)),
  C: number(fields => Math.floor(fields.year / 100), 2),
  c: made('%a %b %e %H:%M:%S %Y'),
  D: made('%m/%d/%y'),
  d: number(fields => fields.day, 2),
  e: blank(fields => fields.day, 2),
  F: made('%Y-%m-%d'),
  f: text(nanoseconds),
  G: number(fields => isoWeek(fields).year, 4),
  g: number(fields => isoWeek(fields).year % 100, 2),
  H: number(fields => fields.hour, 2),
  h: text(fields => MONTHS[fields.month]!.slice(0, 3)),
  I: number(hour12, 2),
  j: number(fields => fields.yearDay, 3),
  k: blank(fields => fields.hour, 2),
  l: blank(hour12, 2),
  M: number(fields => fields.minute, 2),
  m: number(fields => fields.month + 1, 2),
  P: text(fields => (fields.hour < 12 ? 'am' : 'pm')),
  p: text(fields => (fields.hour < 12 ? 'AM' : 'PM')),
  R: made('%H:%M'),
  r: made('%I:%M:%S %p'),
  S: number(fields => fields.second, 2),
  s: text(fields => String(Math.floor(fields.ms / 1000))),
  T: made('%H:%M:%S'),
  t: text(() => '\t'),
  U: number(fields => Math.floor((fields.yearDay + 6 - fields.weekday) / 7), 2),
  u: number(fields => fields.weekday || 7, 1),
  V: number(fields => isoWeek(fields).week, 2),
  W: number(fields => Math.floor((fields.yearDay + 6 - ((fields.weekday + 6) % 7)) / 7), 2),
  w: number(fields => fields.weekday, 1),
  X: made('%H:%M:%S'),
  x: made('%m/%d/%y'),
  Y: number(fields => fields.year, 1),
  y: number(fields => fields.year % 100, 2),
  Z: text(zoneName),
  z: text(fields => offset(fields, '')),
}

/** glibc's flags: `-` no filling, `_` blanks, `0` zeros, `^` upper case, `#` the other case. */
function flagged(letter: Letter, fields: Fields, flag: string, width: number): string {
  let out = letter.text(fields)
  if (flag === '^' || flag === '#') out = out.toUpperCase()
  if (flag === '-') return out.replace(/^[0 ]+(?=.)/, '')
  const blanks = flag === '_' || (flag !== '0' && (letter.blank === true || letter.numeric !== true))
  if (flag === '_') out = out.replace(/^0+(?=.)/, zeros => ' '.repeat(zeros.length))
  return width > out.length ? out.padStart(width, blanks ? ' ' : '0') : out
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

function nanoseconds(fields: Fields): string {
  return `${String(fields.millisecond).padStart(3, '0')}000000`
}

function offset(fields: Fields, separator: string): string {
  const minutes = Math.abs(fields.offsetMinutes)
  return `${fields.offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${separator}${two(minutes % 60)}`
}

/** `UTC`, `CET`; where the platform has no letters for a zone, `GMT+3`. */
function zoneName(fields: Fields): string {
  if (!fields.local) return 'UTC'
  for (const locale of ['en-US', 'en-GB']) {
    const parts = new Intl.DateTimeFormat(locale, { timeZoneName: 'short' }).formatToParts(fields.ms)
    const name = parts.find(part => part.type === 'timeZoneName')?.value ?? 'UTC'
    if (!name.startsWith('GMT') || locale === 'en-GB') return name
  }
  return 'UTC'
}

/** ISO 8601 week: the week of a day is that of its Thursday. */
function isoWeek(fields: Fields): { readonly week: number; readonly year: number } {
  const thursday = new Date(Date.UTC(fields.year, fields.month, fields.day + 4 - (fields.weekday || 7)))
  const year = thursday.getUTCFullYear()
  return { year, week: Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY_MS / 7) + 1 }
}

const LOCAL_DEFAULT = parse('%Y-%m-%dT%H:%M:%S.%3f%z')
