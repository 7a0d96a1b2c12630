/** The files of a page. */
import { readFile } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { extname, join, normalize, sep } from 'node:path'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

/** Answers with a file below `directory`; paths that lead out of it, and what is not there, are 404. */
export function serveAsset(directory: string, pathname: string, response: ServerResponse): void {
  const root = normalize(directory)
  const path = normalize(join(root, safelyDecoded(pathname.endsWith('/') ? `${pathname}index.html` : pathname)))
  if (path.includes('\0') || !path.startsWith(root.endsWith(sep) ? root : root + sep)) {
    notFound(response)
    return
  }
  readFile(path, (error, content) => {
    if (error !== null) {
      notFound(response)
      return
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      'x-content-type-options': 'nosniff',
    })
    response.end(content)
  })
}

function safelyDecoded(pathname: string): string {
  try {
    return decodeURIComponent(pathname)
  } catch {
    return '\0'
  }
}

function notFound(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('404 Not Found')
}
