/**
 * The lists of `from-envoy.md`, made of what the decoder really takes: `node test/kit/from-envoy-page.ts` writes them anew
 * between the page's marks. A test compares.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { comesLater } from '../../sidecar/config/comes-later.ts'
import { extensionCategories } from '../../sidecar/config/extension-names.ts'
import { hopwiseSupport } from '../../sidecar/config/support.ts'
import { repository } from './install-once.ts'

const page = join(repository, 'sidecar', 'docs', 'from-envoy.md')

/** By the reason given, what is refused for it; the reason with the most first. */
function refusedFields(): string {
  const byReason = new Map<string, string[]>()
  for (const [name, reason] of Object.entries(comesLater)) {
    const names = byReason.get(reason) ?? []
    names.push(shortName(name))
    byReason.set(reason, names)
  }
  const lines = [...byReason].sort((a, b) => b[1].length - a[1].length)
  return lines.map(([reason, names]) => `- ${names.map(name => `\`${name}\``).join(', ')}: ${reason}`).join('\n')
}

/** `Cluster.type=EDS`: enough to find it, without the package it is declared in. */
function shortName(name: string): string {
  const parts = name.split('.')
  return parts.slice(parts.findIndex(part => /^[A-Z]/.test(part))).join('.')
}

/** What each kind of extension has here, and how many of Envoy's that leaves. */
function extensions(): string {
  const lines: string[] = []
  for (const [category, names] of Object.entries(extensionCategories)) {
    const there: string[] = []
    let missing = 0
    for (const [name, messages] of Object.entries(names)) {
      if (messages.some(message => hopwiseSupport.message(message).kind !== 'refused')) there.push(name)
      else missing++
    }
    const which = there.length === 0 ? 'none' : there.map(name => `\`${name}\``).join(', ')
    lines.push(`| \`${category}\` | ${which} | ${missing} |`)
  }
  return ['| kind | there | refused |', '| --- | --- | ---: |', ...lines].join('\n')
}

/** The page with its lists as they should be. */
export function currentPage(): string {
  return readFileSync(page, 'utf8')
    .replace(between('extensions'), (_, open: string, close: string) => `${open}\n${extensions()}\n${close}`)
    .replace(between('fields'), (_, open: string, close: string) => `${open}\n${refusedFields()}\n${close}`)
}

function between(name: string): RegExp {
  return new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`)
}

if (import.meta.main) writeFileSync(page, currentPage())
