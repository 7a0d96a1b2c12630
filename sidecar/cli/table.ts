/** Tables and colours for the terminal. */
import { visible } from '../base/visible-text.ts'

/**
 * Columns of equal width, three blanks apart; the last one is left as long as it is. Texts come from traffic and
 * configuration, so nothing in them may steer the terminal.
 */
export function tableText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const shown = [heads, ...rows.map(row => row.map(cell => visible(cell)))]
  const widths = heads.map((_, column) => Math.max(...shown.map(row => (row[column] ?? '').length)))
  return shown
    .map(row =>
      `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join('   ')}`.trimEnd(),
    )
    .map(line => `${line}\n`)
    .join('')
}

export type Colour = 'red' | 'green' | 'yellow' | 'bold' | 'dim'

const CODES: Readonly<Record<Colour, readonly [on: number, off: number]>> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  bold: [1, 22],
  dim: [2, 22],
}

export type Paint = (text: string, colour: Colour) => string

/** Paints where colours are wanted (a terminal, and no `NO_COLOR`), else leaves texts as they are. */
export function painter(colours: boolean): Paint {
  if (!colours) return text => text
  return (text, colour) => `\u001b[${CODES[colour][0]}m${text}\u001b[${CODES[colour][1]}m`
}
