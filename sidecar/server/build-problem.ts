import type { ConfigProblem } from '../config/problems.ts'
import { sourceOf } from '../config/source.ts'
import type { BuildError } from './chains.ts'

/** A mistake found while building, in the form of those found while decoding: with its place in the file. */
export function problemOf(error: BuildError): ConfigProblem {
  const place = error.at === undefined ? undefined : sourceOf(error.at)
  return {
    severity: 'error',
    code: 'extension',
    file: place?.file ?? '<config>',
    line: place?.line ?? 0,
    column: place?.column ?? 0,
    path: error.path,
    message: error.message,
  }
}
