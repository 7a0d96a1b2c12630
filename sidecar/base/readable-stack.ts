import { readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A place in the bundle (`bin/build-bundle.mjs`), as it stands in a stack trace. */
const BUNDLED_PLACE = /(file:\/\/\/[^\s():]*\/bundle-[^\s():/]*\/[^\s():/]+\.mjs):(\d+):(\d+)/g

const maps = new Map<string, SourceMap | undefined>()

/**
 * The stack of an error, with the places of the sources where the bundle runs.
 *
 * Node could do this for every stack (`setSourceMapsSupport`), but then reads all maps at start: 4 MB and 15 ms, for
 * something that is needed when there is a bug. Here a map is read with the first stack that is shown.
 */
export function readableStack(error: Error): string {
  const stack = error.stack ?? String(error)
  return stack.replace(BUNDLED_PLACE, (place, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, readMap(file))
    const entry = maps.get(file)?.findEntry(Number(line) - 1, Number(column) - 1)
    if (entry === undefined || !('originalSource' in entry)) return place
    return `${new URL(entry.originalSource, file).href}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
  })
}

function readMap(file: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(fileURLToPath(`${file}.map`), 'utf8')))
  } catch {
    // The trace is worth showing without it.
    return undefined
  }
}
