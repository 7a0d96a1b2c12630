/**
 * validate.rules of Envoy's protos, enforced from the table on decoded values, whether they came as YAML or protobuf.
 *
 * As protoc-gen-validate does it: an absent message, wrapper, optional or oneof member breaks no rule but `required`;
 * any other scalar is checked with its default, so `min_len: 1` also means "must be given".
 */
import { type FieldDescriptor, type FieldRules, Kind, type MessageDescriptor } from './schema/table.ts'

export type ReportRule = (field: FieldDescriptor | undefined, message: string, index?: number | string) => void

/** Checks one decoded message, not those inside it. `skip` holds fields that failed to decode. */
export function checkRules(
  descriptor: MessageDescriptor,
  message: Readonly<Record<string, unknown>>,
  skip: ReadonlySet<FieldDescriptor> | undefined,
  report: ReportRule,
): void {
  for (const field of descriptor.fields) {
    if (field.rules && !skip?.has(field)) checkField(field, field.rules, message[field.property], report)
  }
  for (const oneof of descriptor.oneofs) {
    if (!oneof.required || oneof.fields.some(field => skip?.has(field) || message[field.property] !== undefined))
      continue
    const names = oneof.fields.map(field => field.name)
    report(undefined, names.length === 1 ? `"${names[0]}" is required` : `one of ${listOf(names)} is required`)
  }
}

function checkField(field: FieldDescriptor, rules: FieldRules, value: unknown, report: ReportRule): void {
  if (field.isMap) checkMap(field, rules, value as ReadonlyMap<string, unknown>, report)
  else if (field.repeated) checkList(field, rules, value as readonly unknown[], report)
  else checkSingle(field, rules, value, report)
}

function checkSingle(field: FieldDescriptor, rules: FieldRules, value: unknown, report: ReportRule): void {
  if (value === undefined) {
    // A oneof's member is required only of a oneof that has chosen it, and then it is there.
    if (rules['required'] && field.oneof < 0) report(field, 'is required')
    return
  }
  const broken = checkValue(rules, value, field.kind)
  if (broken !== undefined) report(field, broken)
}

function checkList(field: FieldDescriptor, rules: FieldRules, list: readonly unknown[], report: ReportRule): void {
  if (rules['ignore_empty'] && list.length === 0) return
  const least = rules['min_items'] as number | undefined
  const most = rules['max_items'] as number | undefined
  if (least !== undefined && list.length < least)
    report(field, least === 1 ? 'must not be empty' : `needs at least ${least} items`)
  if (most !== undefined && list.length > most) report(field, `must have at most ${most} items, not ${list.length}`)
  if (rules['unique'] && new Set(list).size < list.length) report(field, 'must not hold the same item twice')
  const items = rules['items'] as FieldRules | undefined
  if (!items) return
  list.forEach((item, index) => {
    const broken = checkValue(items, item, field.kind)
    if (broken !== undefined) report(field, broken, index)
  })
}

function checkMap(
  field: FieldDescriptor,
  rules: FieldRules,
  map: ReadonlyMap<string, unknown>,
  report: ReportRule,
): void {
  const least = rules['min_pairs'] as number | undefined
  const most = rules['max_pairs'] as number | undefined
  if (least !== undefined && map.size < least)
    report(field, least === 1 ? 'must not be empty' : `needs at least ${least} entries`)
  if (most !== undefined && map.size > most) report(field, `must have at most ${most} entries, not ${map.size}`)
  for (const [key, value] of map) {
    const keys = rules['keys'] as FieldRules | undefined
    const values = rules['values'] as FieldRules | undefined
    const brokenKey = keys && checkValue(keys, key, field.mapKey)
    if (brokenKey !== undefined) report(field, `key ${brokenKey}`, key)
    const brokenValue = values && checkValue(values, value, field.kind)
    if (brokenValue !== undefined) report(field, brokenValue, key)
  }
}

/** What is wrong with the value, or undefined. */
function checkValue(rules: FieldRules, value: unknown, kind: Kind): string | undefined {
  if (typeof value === 'number') return checkNumber(rules, value)
  // The generator has put names in place of numbers, and `defined_only` holds by decoding.
  if (typeof value === 'string') return kind === Kind.Enum ? checkMembership(rules, value) : checkString(rules, value)
  if (value instanceof Uint8Array) return checkLength(rules, value.length, 'bytes')
  if (typeof value === 'boolean' && rules['const'] !== undefined && value !== rules['const'])
    return `must be ${rules['const']}`
  return undefined
}

function checkNumber(rules: FieldRules, value: number): string | undefined {
  if (rules['ignore_empty'] && value === 0) return undefined
  const { gt, gte, lt, lte } = rules as Readonly<Record<string, number | undefined>>
  const tooSmall = (gt !== undefined && !(value > gt)) || (gte !== undefined && !(value >= gte))
  const tooLarge = (lt !== undefined && !(value < lt)) || (lte !== undefined && !(value <= lte))
  // With the lower bound above the upper one, PGV means "outside": no rule of Envoy's does that.
  if (tooSmall || tooLarge) {
    const bounds = [
      gt !== undefined && `greater than ${gt}`,
      gte !== undefined && `at least ${gte}`,
      lt !== undefined && `less than ${lt}`,
      lte !== undefined && `at most ${lte}`,
    ].filter(bound => bound !== false)
    return `must be ${bounds.join(' and ')}, not ${value}`
  }
  return checkMembership(rules, value)
}

function checkMembership(rules: FieldRules, value: number | string): string | undefined {
  const allowed = rules['in'] as readonly unknown[] | undefined
  const refused = rules['not_in'] as readonly unknown[] | undefined
  if (rules['const'] !== undefined && value !== rules['const']) return `must be ${JSON.stringify(rules['const'])}`
  if (allowed && !allowed.includes(value)) {
    return `must be one of ${allowed.map(item => JSON.stringify(item)).join(', ')}, not ${JSON.stringify(value)}`
  }
  return refused?.includes(value) ? `must not be ${JSON.stringify(value)}` : undefined
}

function checkString(rules: FieldRules, value: string): string | undefined {
  if (rules['ignore_empty'] && value === '') return undefined
  const { prefix, suffix, contains, pattern } = rules as Readonly<Record<string, string | undefined>>
  if (prefix !== undefined && !value.startsWith(prefix)) return `must start with ${JSON.stringify(prefix)}`
  if (suffix !== undefined && !value.endsWith(suffix)) return `must end with ${JSON.stringify(suffix)}`
  if (contains !== undefined && !value.includes(contains)) return `must contain ${JSON.stringify(contains)}`
  if (pattern !== undefined && !patternOf(pattern).test(value)) return `must match ${pattern}`
  return checkLength(rules, value, 'characters') ?? checkHeader(rules, value) ?? checkMembership(rules, value)
}

function checkLength(rules: FieldRules, value: string | number, unit: string): string | undefined {
  const { min_len, max_len, min_bytes, max_bytes, len } = rules as Readonly<Record<string, number | undefined>>
  const length = typeof value === 'number' ? value : [...value].length
  if (min_len !== undefined && length < min_len) {
    return length === 0 ? 'must not be empty' : `must have at least ${min_len} ${unit}, not ${length}`
  }
  if (max_len !== undefined && length > max_len) return `must have at most ${max_len} ${unit}, not ${length}`
  if (len !== undefined && length !== len) return `must have ${len} ${unit}, not ${length}`
  if (min_bytes === undefined && max_bytes === undefined) return undefined
  const bytes = typeof value === 'number' ? value : Buffer.byteLength(value)
  if (min_bytes !== undefined && bytes < min_bytes) {
    return bytes === 0 ? 'must not be empty' : `must have at least ${min_bytes} bytes, not ${bytes}`
  }
  return max_bytes !== undefined && bytes > max_bytes ? `must have at most ${max_bytes} bytes, not ${bytes}` : undefined
}

/** KnownRegex of validate.proto: 1 is a header name, 2 a header value; `strict: false` only keeps NUL, CR and LF out. */
function checkHeader(rules: FieldRules, value: string): string | undefined {
  const which = rules['well_known_regex']
  if (which === undefined) return undefined
  const strict = rules['strict'] !== false
  if (which === 1) {
    const valid = strict ? /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/.test(value) : /^[^\0\n\r]*$/.test(value)
    if (strict && value === '') return 'must not be empty'
    return valid ? undefined : `must be a header name, which ${JSON.stringify(value)} is not`
  }
  const valid = strict ? /^[^\0-\x08\n-\x1f\x7f]*$/.test(value) : /^[^\0\n\r]*$/.test(value)
  return valid ? undefined : 'must be a header value: no control characters'
}

const patterns = new Map<string, RegExp>()

function patternOf(source: string): RegExp {
  let pattern = patterns.get(source)
  if (!pattern) patterns.set(source, (pattern = new RegExp(source, 'u')))
  return pattern
}

function listOf(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}
