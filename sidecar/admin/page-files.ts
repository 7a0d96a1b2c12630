/**
 * The page for people: plain modules and SVG in `page/`, read when somebody asks for them. No build step, nothing from
 * another host, and a policy that lets nothing else in: what a failure's text contains stays text.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../base/package-root.ts'
import type { AdminResponse } from './message.ts'
import type { AdminPages } from './server-control.ts'

/** In the package, wherever what runs lies (`base/package-root.ts`). */
const FOLDER = join(packageRoot, 'sidecar', 'admin', 'page')

const INDEX = 'index.html'
const SCRIPT = 'text/javascript; charset=utf-8'
const TYPES: Readonly<Record<string, string>> = {
  [INDEX]: 'text/html; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'mark.svg': 'image/svg+xml',
  'clusters.js': SCRIPT,
  'configuration.js': SCRIPT,
  'elements.js': SCRIPT,
  'failures.js': SCRIPT,
  'page.js': SCRIPT,
  'pulse.js': SCRIPT,
  'rates.js': SCRIPT,
  'topology.js': SCRIPT,
  'waterfall.js': SCRIPT,
}

/** Everything that the page loads but for its data. */
export const PAGE_PATHS: readonly string[] = [
  '/',
  ...Object.keys(TYPES)
    .filter(name => name !== INDEX)
    .map(name => `/page/${name}`),
]

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS: AdminResponse['headers'] = [
  ['content-security-policy', POLICY],
  ['x-content-type-options', 'nosniff'],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-opener-policy', 'same-origin'],
  ['cache-control', 'no-cache'],
]

/** A file of the page by its path; undefined for any other path, and where the package came without the page. */
export function pageFile(path: string): AdminResponse | undefined {
  const name = path === '/' ? INDEX : /^\/page\/([\w.]+)$/.exec(path)?.[1]
  if (name === undefined || !Object.hasOwn(TYPES, name) || (name === INDEX && path !== '/')) return undefined
  try {
    return { status: 200, contentType: TYPES[name]!, body: readFileSync(join(FOLDER, name)), headers: HEADERS }
  } catch {
    return undefined
  }
}

export const pageFiles: AdminPages = { page: pageFile }
