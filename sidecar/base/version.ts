import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from './package-root.ts'

/** Version of this package, as `package.json` has it. */
export const VERSION: string = (
  JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }
).version

/** The Envoy release whose behaviour, names and schema this version follows. */
export const ENVOY_VERSION = '1.40.0'
