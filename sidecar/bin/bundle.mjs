/**
 * The bundle: `sidecar/` as one JavaScript file (and a few more for what is loaded on demand), made by
 * `build-bundle.mjs` in `node_modules/.cache/hopwise`, which goes with the package into an image.
 *
 * From its 250 sources, types stripped and compiled code cached, a start takes 0.45 s of CPU time and 90 MB; from the
 * bundle, 0.29 s and 77 MB (`npm run bench`, "ready after" and "RSS, idle"). What runs is the same: a bundle that is not of
 * the sources as they are is not used, and everything works without one.
 *
 * Plain JavaScript, because stripping the types of this file alone would cost 0.1 s and 20 MB.
 */

/**
 * Gives one of Node's own modules without all that an `import` of it would load (see `build-bundle.mjs`). A Node older than
 * 20.16 only builds the bundle, and may do so in any way.
 */
export const builtin = process.getBuiltinModule ?? (await import('node:module')).createRequire(import.meta.url)

const { readFileSync, statSync } = builtin('node:fs')
const { join } = builtin('node:path')
const { fileURLToPath } = builtin('node:url')

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const cacheFolder = join(root, 'node_modules', '.cache', 'hopwise')
/** Says where the bundle is and what it was made of: `{ entry, sources: [path, mtimeMs, size][] }`. */
export const bundleIndex = join(cacheFolder, 'bundle.json')

/** The path of the bundle's entry point; undefined when there is none of the sources as they are now. */
export function freshBundle() {
  let index
  try {
    index = JSON.parse(readFileSync(bundleIndex, 'utf8'))
  } catch {
    return undefined
  }
  for (const [path, mtimeMs, size] of index.sources) {
    const now = statSync(join(root, path), { throwIfNoEntry: false })
    if (now === undefined || now.size !== size || !sameTime(now.mtimeMs, mtimeMs)) return undefined
  }
  return join(cacheFolder, index.entry)
}

/** Layers of an image, and tar, keep whole seconds only. */
function sameTime(now, then) {
  return now === then || now === Math.floor(then / 1000) * 1000
}
