/** The rules of the rooms of `sidecar/` (style-examples.md), as functions of a folder, so that they can be tested too. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** An import may only point down this list; types count too. */
export const ROOMS = [
  'bin',
  'cli',
  'main',
  'worker',
  'extensions',
  'control-plane',
  'server',
  'admin',
  'listener',
  'http',
  'filters',
  'router',
  'cluster',
  'load-balancer',
  'upstream',
  'filter-chain',
  'codec',
  'transport',
  'xds',
  'config',
  'failure-origin',
  'observability',
  'base',
] as const

/** Own codecs only (design.md): Node's cost two to four times Envoy's CPU, and 17 MB and 65 ms at start. */
const NODE_HTTP = /^(node:)?(http|https|http2)$/
const ROOMS_WITH_NODE_HTTP = new Set(['cli', 'control-plane'])

/** The same bytes give the same events: a codec that could see a socket, the time or configuration might not keep that. */
const UNSEEN_BY_CODECS = /^(node:)?(net|tls|dgram|dns)$|^base\/(clock|timer-wheel)\.ts$|^config\//

/**
 * HTTP filters see interfaces of `filter-chain/`; of the router only what compiles matchers, and the interface of a route
 * that matched. Clusters, hosts and connections they reach through their context.
 */
const UNSEEN_BY_HTTP_FILTERS =
  /^(router\/(?!([a-z]+-matcher|mistakes|route-entry|runtime-fraction)\.ts$)|cluster\/|load-balancer\/|upstream\/)/

/** What runs is the bundle, which lies elsewhere (bin/bundle.mjs). Programs of the folder itself may ask. */
const MAY_ASK_WHERE_IT_LIES = /^(base\/package-root\.ts$|config\/schema\/generate\/)/

const MAX_LINES = 600
const GENERATED = /^config\/schema\/generated\//
/** Names that say nothing of what is inside. */
const EMPTY_NAMES = /(^|\/)(utils?|helpers?|common|misc|stuff|index)\.ts$/

/** Every broken rule under `folder` (a copy of `sidecar/`), one line each: `file: what is wrong`. */
export function architectureViolations(folder: string): string[] {
  const found: string[] = []
  const files = globSync('**/*.ts', { cwd: folder }).sort()
  for (const file of files) {
    const source = readFileSync(join(folder, file), 'utf8')
    const room = roomOf(file)
    const rank = ROOMS.indexOf(room as (typeof ROOMS)[number])
    if (rank < 0) found.push(`${file}: '${room}' is no room of sidecar/`)
    for (const specifier of importsOf(source)) found.push(...importViolations(file, room, rank, specifier))
    if (/\bimport\.meta\b/.test(codeOf(source)) && !MAY_ASK_WHERE_IT_LIES.test(file)) {
      found.push(`${file}: asks where it lies (import.meta); base/package-root.ts knows, in the bundle too`)
    }
    if (GENERATED.test(file)) continue
    const lines = source.split('\n').length - 1
    if (lines > MAX_LINES) found.push(`${file}: ${lines} lines, at most ${MAX_LINES}: look for the second noun`)
    if (EMPTY_NAMES.test(file)) found.push(`${file}: the name says nothing; one noun for what it holds`)
  }
  found.push(...unlistedFilters(folder, files))
  return found
}

function importViolations(file: string, room: string, rank: number, specifier: string): string[] {
  if (!specifier.startsWith('.')) {
    if (NODE_HTTP.test(specifier) && !ROOMS_WITH_NODE_HTTP.has(room)) return [`${file}: imports ${specifier}`]
    if (room === 'codec' && UNSEEN_BY_CODECS.test(specifier)) return [`${file}: a codec imports ${specifier}`]
    return []
  }
  const target = normalize(join(dirname(file), specifier))
  if (target.startsWith('..')) {
    // Outside sidecar/: only the package's own manifest and the trace store (design.md, "Where the rest lives").
    return /^\.\.\/(package\.json|observability\/)/.test(target)
      ? []
      : [`${file}: imports ${target} from outside sidecar/`]
  }
  const targetRoom = roomOf(target)
  const targetRank = ROOMS.indexOf(targetRoom as (typeof ROOMS)[number])
  if (targetRank < 0) return [`${file}: imports ${target}, which is in no room`]
  if (targetRank < rank) return [`${file}: ${room} imports ${target}, which is above it`]
  if (targetRoom === 'filters' && room !== 'filters' && room !== 'extensions') {
    return [`${file}: only extensions.ts names filters, but this imports ${target}`]
  }
  if (room === 'codec' && UNSEEN_BY_CODECS.test(target)) return [`${file}: a codec imports ${target}`]
  if (file.startsWith('filters/http/') && UNSEEN_BY_HTTP_FILTERS.test(target)) {
    return [`${file}: an HTTP filter imports ${target} instead of an interface of filter-chain/`]
  }
  return []
}

/** Once `extensions.ts` exists it imports every file that holds a filter. */
function unlistedFilters(folder: string, files: readonly string[]): string[] {
  if (!files.includes('extensions.ts')) return []
  const listed = new Set(importsOf(readFileSync(join(folder, 'extensions.ts'), 'utf8')).map(path => normalize(path)))
  return files
    .filter(file => file.startsWith('filters/') && !listed.has(file))
    .filter(file => /FilterFactory</.test(readFileSync(join(folder, file), 'utf8')))
    .map(file => `${file}: a filter that extensions.ts does not list`)
}

function roomOf(file: string): string {
  const slash = file.indexOf('/')
  return slash < 0 ? file.replace(/\.ts$/, '') : file.slice(0, slash)
}

function importsOf(source: string): string[] {
  return [...codeOf(source).matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^'\n]+)'/g)].map(match => match[1]!)
}

/** Without comments. */
function codeOf(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
}
