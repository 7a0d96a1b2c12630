/**
 * validate.rules (protoc-gen-validate), cut down to plain JSON: `{ "min_len": 1 }` for a string, `{ "gte": 1 }` for a
 * number, `{ "required": true }`, `{ "items": { … } }`. The rule's own type (`uint32`, `string`, …) is dropped, since
 * the field's kind tells it, and so are rules that say nothing.
 */
export type RuleValue = number | string | boolean | readonly (number | string)[] | Rules
export interface Rules {
  readonly [name: string]: RuleValue
}

export function rulesOf(option: unknown): Rules | undefined {
  const rules: Record<string, RuleValue> = {}
  collect(option as ReflectedRules, rules)
  return Object.keys(rules).length ? rules : undefined
}

/** What @bufbuild/protobuf makes of `validate.FieldRules`: a oneof `type` of the kinds, and `message` beside it. */
interface ReflectedRules {
  readonly message?: { readonly required?: boolean; readonly skip?: boolean }
  readonly type?: { readonly case: string | undefined; readonly value?: object }
}

function collect(option: ReflectedRules | undefined, rules: Record<string, RuleValue>): void {
  if (option?.message?.required) rules['required'] = true
  if (option?.message?.skip) rules['skip'] = true
  const kind = option?.type?.case
  if (!kind || !option.type?.value) return
  for (const [name, value] of Object.entries(option.type.value)) {
    if (name.startsWith('$')) continue
    const simple = simplify(name, value, kind)
    if (simple === undefined) continue
    // An email, uri, address … is one rule whose name is the oneof's case.
    if (name === 'wellKnown') Object.assign(rules, simple)
    else rules[snakeCase(name)] = simple
  }
}

function simplify(name: string, value: unknown, kind: string): RuleValue | undefined {
  // `strict: false` loosens a rule whose default is true; any other false or empty setting says nothing.
  if (value === undefined || value === '' || (value === false && name !== 'strict')) return undefined
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return value
  if (Array.isArray(value) && value.length === 0) return undefined
  if (Array.isArray(value)) return value.map(item => (typeof item === 'bigint' ? Number(item) : item))
  if (name === 'wellKnown') {
    const { case: which, value: setting } = value as { case: string | undefined; value?: number | boolean }
    return which === undefined ? undefined : { [snakeCase(which)]: setting ?? true }
  }
  if (name === 'items' || name === 'keys' || name === 'values') return rulesOf(value)
  if (kind === 'duration') {
    const { seconds, nanos } = value as { seconds: bigint; nanos: number }
    return Number(seconds) * 1000 + nanos / 1e6
  }
  throw new Error(`validate.rules: ${kind}.${name} is not understood: ${String(value)}`)
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}
