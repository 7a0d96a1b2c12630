/** Everything that is wrong with a configuration, found without starting it: filters, routes, formats, limits. */
import type { LoadedBootstrap } from '../config/bootstrap.ts'
import type { ConfigProblem } from '../config/problems.ts'
import { Server, type ServerParts } from './server.ts'

/**
 * What decoding has found, and what only building everything can find. Where decoding has found errors, what it could make
 * of the rest is built, so that one round tells all; what fails there because of those errors is not told again.
 */
export function checkConfiguration(
  loaded: LoadedBootstrap,
  parts: Omit<ServerParts, 'bootstrap' | 'reload' | 'warnings'>,
): LoadedBootstrap {
  const bootstrap = loaded.bootstrap ?? loaded.partial
  if (bootstrap === undefined) return loaded
  // The name that failures go by matters to no check, and its absence is told where the proxy starts.
  const serviceCluster = parts.options.serviceCluster || 'validate'
  const options = { ...parts.options, serviceCluster, mode: 'validate' as const, concurrency: 1 }
  const server = new Server({ ...parts, options, bootstrap, reload: () => loaded })
  const { errors, warnings } = server.check(loaded.bootstrap === undefined)
  void server.stop()
  const isNew = (found: ConfigProblem) => !loaded.errors.some(known => areOne(known.path, found.path))
  return {
    bootstrap: loaded.bootstrap,
    errors: inOrder([...loaded.errors, ...errors.filter(isNew)]),
    warnings: inOrder([...loaded.warnings, ...warnings.filter(isNew)]),
  }
}

/** As they stand in each file. */
function inOrder(problems: ConfigProblem[]): ConfigProblem[] {
  return problems.sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : 0))
}

/** Whether one of two paths is that of the other, or of a part of it. */
function areOne(a: string, b: string): boolean {
  const [short, long] = a.length < b.length ? [a, b] : [b, a]
  return long === short || (long.startsWith(short) && /[.[]/.test(long[short.length]!))
}
