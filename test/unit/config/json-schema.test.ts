/** The editors' schema: sound, of bearable size, and of the decoder's opinion. */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { type JsonSchema, jsonSchema } from '../../../sidecar/config/json-schema.ts'
import { config } from './configs.ts'

const whole = jsonSchema()
const seed = (name: string) => parse(readFileSync(join(import.meta.dirname, '..', '..', 'seed-configs', name), 'utf8'))

test('every reference resolves', () => {
  const definitions = whole['definitions'] as JsonSchema
  const missing = new Set<string>()
  JSON.stringify(whole, (key, value) => {
    if (key === '$ref' && !definitions[String(value).replace('#/definitions/', '')]) missing.add(String(value))
    return value
  })
  assert.deepEqual([...missing], [])
})

test('it is small enough for an editor', () => {
  assert.ok(JSON.stringify(whole).length < 300_000)
})

test('configurations that load are valid', () => {
  for (const name of ['000-round-robin.yaml', '003-first-proxy.yaml', '000-admin.fragment.yaml']) {
    assert.deepEqual(check(whole, seed(name)), [], name)
  }
  const full = parse(config({ cluster: 'metadata: {filter_metadata: {hopwise: {service: a}, other: {x: 1}}}' }))
  assert.deepEqual(check(whole, full), [])
})

test('what is misspelt, unsupported or of the wrong kind is not', () => {
  const invalid = {
    'a misspelt field': config({ cluster: 'lb_polcy: RANDOM' }),
    'a misspelt field of an extension': config({ manager: 'stat_prefx: a' }),
    'an unsupported field': config({ cluster: 'health_checks: []' }),
    'an unsupported value': config({ cluster: 'lb_policy: MAGLEV' }),
    'a wrong duration': config({ timeout: '1m' }),
    'a number out of bounds': config({ cluster: 'outlier_detection: {max_ejection_percent: 101}' }),
    'a missing choice': config({ match: '{case_sensitive: true}' }),
    'a misspelt setting of ours': config({ cluster: 'metadata: {filter_metadata: {hopwise: {servce: a}}}' }),
  }
  for (const [name, text] of Object.entries(invalid)) assert.notDeepEqual(check(whole, parse(text)), [], name)
})

/** The keywords that the schema uses, and no others. */
function check(schema: JsonSchema, value: unknown, path = ''): string[] {
  const definitions = whole['definitions'] as Record<string, JsonSchema>
  if (schema['$ref'] && path !== '') return check(definitions[String(schema['$ref']).slice(14)]!, value, path)
  const errors: string[] = schema['$ref']
    ? check(definitions[String(schema['$ref']).slice(14)]!, value, `${path}.`)
    : []
  const types = schema['type'] === undefined ? undefined : [schema['type']].flat()
  if (types && !types.some(type => isOfType(value, type as string))) return [`${path}: not ${types}`]
  if (schema['enum'] && !(schema['enum'] as unknown[]).includes(value)) errors.push(`${path}: not in the list`)
  if ('const' in schema && schema['const'] !== value) errors.push(`${path}: not ${schema['const']}`)
  if (typeof value === 'string' && schema['pattern'] && !new RegExp(schema['pattern'] as string).test(value))
    errors.push(`${path}: pattern`)
  if (typeof value === 'string' && (schema['minLength'] as number) > value.length) errors.push(`${path}: too short`)
  if (
    typeof value === 'number' &&
    (value > ((schema['maximum'] as number) ?? value) || value < ((schema['minimum'] as number) ?? value))
  )
    errors.push(`${path}: bounds`)
  if (Array.isArray(value)) {
    if (value.length < ((schema['minItems'] as number) ?? 0)) errors.push(`${path}: too few`)
    if (schema['items'])
      errors.push(...value.flatMap((item, i) => check(schema['items'] as JsonSchema, item, `${path}[${i}]`)))
  } else if (typeof value === 'object' && value !== null) {
    const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>
    for (const [key, item] of Object.entries(value)) {
      const rule = properties[key] ?? schema['additionalProperties']
      if (rule === false) errors.push(`${path}.${key}: unknown`)
      else if (rule && rule !== true) errors.push(...check(rule as JsonSchema, item, `${path}.${key}`))
    }
    for (const key of (schema['required'] as string[]) ?? [])
      if (!(key in value)) errors.push(`${path}.${key}: missing`)
  }
  const any = schema['anyOf'] as JsonSchema[] | undefined
  if (any && !any.some(option => check(option, value, path || '/').length === 0))
    errors.push(`${path}: none of the choices`)
  for (const part of (schema['allOf'] as JsonSchema[]) ?? []) errors.push(...check(part, value, path || '/'))
  if (schema['if'] && check(schema['if'] as JsonSchema, value, path || '/').length === 0)
    errors.push(...check(schema['then'] as JsonSchema, value, path || '/'))
  return errors
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  const actual: string = typeof value
  return actual === type
}
