import type { PackedTable } from '../table.ts'

/** One line per message, enum and rule: small, and a change of Envoy's API shows as a readable diff. */
export function formatTable(table: PackedTable): string {
  const parts = Object.entries(table).map(([name, value]) => {
    const text = Array.isArray(value)
      ? `[\n${value.map(item => JSON.stringify(item)).join(',\n')}\n]`
      : JSON.stringify(value)
    return `${JSON.stringify(name)}:${text}`
  })
  return `{${parts.join(',\n')}}\n`
}
