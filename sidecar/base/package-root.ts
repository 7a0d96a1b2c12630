import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * The folder of this package. The only place that asks where it lies itself: sources and bundle (`bin/bundle.mjs`) lie at
 * different depths, so `import.meta` means something else in each.
 */
export const packageRoot: string = rootAbove(import.meta.dirname)

/** Loads a CommonJS package synchronously, when it is needed first. */
export const requirePackage: NodeJS.Require = createRequire(join(packageRoot, 'package.json'))

function rootAbove(folder: string): string {
  const parent = dirname(folder)
  if (existsSync(join(folder, 'package.json')) || parent === folder) return folder
  return rootAbove(parent)
}
