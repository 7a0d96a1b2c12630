/**
 * Regenerates `../generated/` from Envoy's descriptors:
 *
 *   node sidecar/config/schema/generate/run.ts                 # needs Go, or the network to fetch its modules
 *   node sidecar/config/schema/generate/run.ts --descriptors envoy.binpb   # from a dump made before
 *   node sidecar/config/schema/generate/run.ts --check         # writes nothing; exit 1 if the files would change
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { dumpDescriptors, envoyModule, envoyModuleVersion } from './descriptors.ts'
import { formatTable } from './format.ts'
import { reduce } from './reduce.ts'
import { emitTypes } from './types.ts'

const { values } = parseArgs({ options: { descriptors: { type: 'string' }, check: { type: 'boolean' } } })
const descriptors = values.descriptors ? readFileSync(values.descriptors) : dumpDescriptors()
const reduced = reduce(descriptors, `${envoyModule} ${envoyModuleVersion}`)
const files = { 'table.json': formatTable(reduced.table), 'types.ts': emitTypes(reduced) }
const directory = join(import.meta.dirname, '..', 'generated')

let changed = 0
for (const [name, text] of Object.entries(files)) {
  const path = join(directory, name)
  if (text === readOrUndefined(path)) continue
  changed++
  if (values.check) {
    console.error(`${path} is not what the descriptors give; run this command without --check`)
  } else {
    mkdirSync(directory, { recursive: true })
    writeFileSync(path, text)
  }
}
const { messages, enums, table } = reduced
const fields = messages.reduce((sum, message) => sum + message.fields.length, 0)
console.log(
  `${messages.length} messages, ${fields} fields, ${enums.length} enums, ${table.rules.length} rules; ` +
    `table ${(files['table.json'].length / 1000).toFixed(0)} kB, digest ${table.digest}; ${changed} file(s) changed`,
)
process.exitCode = values.check && changed ? 1 : 0

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
