/** The pages of `sidecar/docs/`, for tests that run what stands there. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from './install-once.ts'

export const docs = join(repository, 'sidecar', 'docs')

export function readDoc(name: string): string {
  return readFileSync(join(docs, name), 'utf8')
}

/** What stands in the page's blocks of this language, in their order; there is one at least. */
export function blocks(page: string, language: string): string[] {
  const found = [...readDoc(page).matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'gm'))]
  assert.ok(found.length > 0, `${page} has a block of ${language}`)
  return found.map(match => match[1]!)
}
