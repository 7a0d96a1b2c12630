/** The lists of what is supported name only what exists, and everything that a supported field needs. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { test } from 'node:test'
import { acceptedWithoutEffect } from '../../../sidecar/config/accepted-without-effect.ts'
import { loadBootstrap } from '../../../sidecar/config/bootstrap.ts'
import { comesLater } from '../../../sidecar/config/comes-later.ts'
import { extensionCategories } from '../../../sidecar/config/extension-names.ts'
import { extensionPoints } from '../../../sidecar/config/extension-points.ts'
import { Kind, schema } from '../../../sidecar/config/schema/table.ts'
import { supported, supportedValues } from '../../../sidecar/config/supported.ts'

/** `message`, `message.field` or `message.field=VALUE`. */
function exists(name: string): boolean {
  const [path = '', value] = name.split('=')
  if (schema().message(path)) return value === undefined
  const dot = path.lastIndexOf('.')
  const field = schema()
    .message(path.slice(0, dot))
    ?.field(path.slice(dot + 1))
  if (!field || field.name !== path.slice(dot + 1)) return false
  return value === undefined || field.enumeration.numbers.has(value)
}

test('every name on the lists exists', () => {
  const wrong: string[] = []
  for (const [message, fields] of Object.entries(supported)) {
    if (!schema().message(message)) wrong.push(message)
    if (fields !== '*') wrong.push(...fields.map(field => `${message}.${field}`).filter(name => !exists(name)))
  }
  for (const [field, values] of Object.entries(supportedValues)) {
    wrong.push(...values.map(value => `${field}=${value}`).filter(name => !exists(name)))
  }
  for (const list of [acceptedWithoutEffect, comesLater, extensionPoints]) {
    wrong.push(...Object.keys(list).filter(name => !exists(name)))
  }
  for (const members of Object.values(extensionCategories)) {
    wrong.push(
      ...Object.values(members)
        .flat()
        .filter(name => !exists(name)),
    )
  }
  assert.deepEqual(wrong, [])
})

test('no field is on two lists', () => {
  const twice = [...Object.keys(acceptedWithoutEffect), ...Object.keys(comesLater)].filter(name => {
    const dot = name.lastIndexOf('.')
    const fields = supported[name.slice(0, dot)]
    return fields?.includes(name.slice(dot + 1)) && fields !== '*'
  })
  assert.deepEqual(twice, [])
})

test('the message of every supported field is on a list too', () => {
  const missing = new Set<string>()
  for (const [typeName, fields] of Object.entries(supported)) {
    for (const field of schema().message(typeName)!.fields) {
      const isSupported = fields === '*' || fields.includes(field.name)
      const accepted = acceptedWithoutEffect[`${typeName}.${field.name}`]
      if (!isSupported || accepted !== undefined || field.kind !== Kind.Message || field.message?.native) continue
      const { messageName } = field
      if (supported[messageName] === undefined && acceptedWithoutEffect[messageName] === undefined) {
        missing.add(`${messageName} (of ${typeName}.${field.name})`)
      }
    }
  }
  assert.deepEqual([...missing].sort(), [])
})

test('a configuration with one of everything loads, under strict too', () => {
  const { bootstrap, errors, warnings } = loadBootstrap({
    file: join(import.meta.dirname, 'one-of-everything.yaml'),
    strict: true,
  })
  assert.deepEqual(errors, [])
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['deprecated', 'deprecated'],
  )
  assert.equal(bootstrap?.staticResources?.clusters.length, 3)
})
