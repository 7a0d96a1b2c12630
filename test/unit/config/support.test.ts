/** The lists of what is supported name only what exists, and everything that a supported field needs. */
import { strict as assert } from 'node:assert'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkWhole } from '../../../sidecar/cli/validate.ts'
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

/** Fields that nothing outside `config/` reads, and why their meaning is kept all the same. */
const READ_BY_NAME_OF_NONE: Readonly<Record<string, string>> = {
  'envoy.config.core.v3.Node.dynamic_parameters': 'shown whole, by /config_dump and /server_info',
  'envoy.config.core.v3.Node.user_agent_name': 'the same; ours takes its place there',
  'envoy.config.core.v3.Node.user_agent_version': 'the same',
  'envoy.config.core.v3.Node.user_agent_build_version': 'the same',
  'envoy.config.core.v3.Node.client_features': 'the same',
  'envoy.config.core.v3.Node.listening_addresses': 'the same',
  'envoy.config.core.v3.Extension.type_descriptor': 'the same',
  'envoy.config.core.v3.Extension.type_urls': 'the same',
  'envoy.type.v3.SemanticVersion.major_number': 'the same',
  'envoy.type.v3.SemanticVersion.minor_number': 'the same',
  'envoy.config.core.v3.SubstitutionFormatString.json_format_options': 'no field in it is supported',
  'envoy.config.cluster.v3.Cluster.round_robin_lb_config': 'no field in it is supported',
  'envoy.config.core.v3.ConfigSource.resource_api_version': 'only one value is supported, the default',
  'envoy.service.discovery.v3.DiscoveryResponse.version_info': 'of a file, whose reader answers to nobody',
  'envoy.service.discovery.v3.DiscoveryResponse.nonce': 'of a file, whose reader answers to nobody',
  'envoy.type.matcher.v3.FilterStateMatcher.address_match': 'there is no filter state that a route could match',
  'envoy.config.trace.v3.ZipkinConfig.collector_endpoint_version': 'only one value is supported, the default',
}

/** Every word of the code outside `config/`, comments aside. */
function wordsOfTheCode(): Set<string> {
  const root = join(import.meta.dirname, '../../../sidecar')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  const code = files.filter(file => file.endsWith('.ts') && !file.startsWith('config'))
  const text = code.map(file =>
    readFileSync(join(root, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*/gm, ''),
  )
  return new Set(text.join(' ').match(/\w+/g))
}

test('every supported field is read by somebody', () => {
  const words = wordsOfTheCode()
  const unread: string[] = []
  for (const [typeName, fields] of Object.entries(supported)) {
    for (const field of schema().message(typeName)!.fields) {
      const name = `${typeName}.${field.name}`
      const isSupported = fields === '*' || fields.includes(field.name)
      if (isSupported && acceptedWithoutEffect[name] === undefined && !words.has(field.property)) unread.push(name)
    }
  }
  assert.deepEqual(unread.sort(), Object.keys(READ_BY_NAME_OF_NONE).sort())
})

test('a configuration with one of everything loads, under strict too', () => {
  const file = join(import.meta.dirname, 'one-of-everything.yaml')
  // Decoded, and built as far as it can be without being run.
  const { bootstrap, errors, warnings } = checkWhole(loadBootstrap({ file, strict: true }))
  assert.deepEqual(errors, [])
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['deprecated', 'deprecated'],
  )
  assert.equal(bootstrap?.staticResources?.clusters.length, 3)
})
