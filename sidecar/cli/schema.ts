/** `hopwise schema`: the JSON schema of the configuration, for editors. */

import type { CliIo } from '../base/verb.ts'
import { jsonSchema } from '../config/json-schema.ts'

export const schemaHelp = `usage: hopwise schema

Prints a JSON schema of the configuration files that Hopwise reads, made from the same table as its decoder.

  hopwise schema > envoy.schema.json
  # then, as the first line of envoy.yaml, for editors with the YAML language server:
  # yaml-language-server: $schema=envoy.schema.json
`

export async function schema(args: string[], io: CliIo): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.out(schemaHelp)
    return 0
  }
  if (args.length > 0) {
    io.error(`hopwise schema takes no arguments\n\n${schemaHelp}`)
    return 2
  }
  io.out(`${JSON.stringify(jsonSchema(), undefined, 1)}\n`)
  return 0
}
