import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageRoot } from '../base/package-root.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'

/**
 * Loads a filter of the user's own: a module whose default export, or an export named `filter`, is an
 * `HttpFilterFactory`. Rejects with a sentence for the terminal when it is none.
 */
export async function loadExtension(file: string): Promise<AnyHttpFilterFactory> {
  resolveOwnName()
  const module = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
  const candidates = [module['default'], module['filter'], ...Object.values(module)]
  const factory = candidates.find(isFactory)
  if (factory === undefined)
    throw new Error(`--extension ${file}: exports no HttpFilterFactory (name, typeUrl, decodeConfig, create)`)
  return factory
}

function isFactory(value: unknown): value is AnyHttpFilterFactory {
  if (typeof value !== 'object' || value === null) return false
  const factory = value as Partial<AnyHttpFilterFactory>
  return typeof factory.name === 'string' && typeof factory.typeUrl === 'string' && typeof factory.create === 'function'
}

let resolvesOwnName = false

/** Lets a file anywhere import `hopwise/sidecar/…` from the Hopwise that runs it, without being installed beside it. */
function resolveOwnName(): void {
  if (resolvesOwnName) return
  resolvesOwnName = true
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier.startsWith('hopwise/')
        ? { url: pathToFileURL(join(packageRoot, specifier.slice('hopwise/'.length))).href, shortCircuit: true }
        : next(specifier, context),
  })
}
