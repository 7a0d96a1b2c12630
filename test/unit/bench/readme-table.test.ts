import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  BEGIN,
  COLUMNS,
  END,
  machineFacts,
  markdownTable,
  median,
  type Row,
  withBenchmarks,
} from '../../bench/side-by-side/table.ts'
import { ROW_NAMES } from '../../bench/side-by-side/workloads.ts'
import { repository } from '../../kit/install-once.ts'

const ROW: Row = { workload: 'w', envoy: '2.0 µs', ours: '1.0 µs', ratio: '0.50', target: '≤ 0.6', met: true }

test('the README shows a table of the shape that `npm run bench -- --readme` writes, with every row', () => {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8')
  const section = readme.slice(readme.indexOf(BEGIN) + BEGIN.length, readme.indexOf(END)).trim()
  const lines = section.split('\n')
  const cells = lines.filter(line => line.startsWith('|')).map(line => line.slice(2, -2).split(' | '))
  assert.deepEqual(cells[0], COLUMNS)
  assert.deepEqual(
    cells.slice(2).map(row => row[0]),
    ROW_NAMES,
  )
  for (const row of cells) assert.equal(row.length, COLUMNS.length)
  for (const [workload = '', , ours = '', , target = '', met = ''] of cells.slice(2)) {
    assert.match(ours, /^(< )?\d+(\.\d+)? (µs|MB|KB|ms|%)$/, workload ?? '')
    // A miss is shown, never left out.
    assert.match(met, target === '' ? /^$/ : /^(yes|\*\*no\*\*)$/, workload ?? '')
  }
  // What it was measured on stands below.
  assert.match(lines.at(-1)!, / × .* GB, Linux .*, Node \d.*; \d{4}-\d\d-\d\d; /)
})

test('the table says whether a target was met, and nothing where there is none', () => {
  const lines = markdownTable([ROW, { ...ROW, met: false }, { ...ROW, target: '', met: undefined }]).split('\n')
  assert.equal(lines.length, 5)
  assert.equal(lines[2], '| w | 2.0 µs | 1.0 µs | 0.50 | ≤ 0.6 | yes |')
  assert.ok(lines[3]!.endsWith('| ≤ 0.6 | **no** |'))
  assert.ok(lines[4]!.endsWith('| 0.50 |  |  |'))
})

test('the section is replaced between its markers, or begun at the end', () => {
  const begun = withBenchmarks('# Hopwise\n\nText.\n', 'one')
  assert.equal(begun, `# Hopwise\n\nText.\n\n## Benchmarks\n\n${BEGIN}\none\n${END}\n`)
  assert.equal(withBenchmarks(`${begun}\nMore.\n`, 'two'), `${begun.replace('one', 'two')}\nMore.\n`)
})

test('the median is the middle, or between the two in the middle', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
})

test('the facts name the machine and how it was measured', () => {
  assert.match(machineFacts('5 rounds'), /^\d+ × .* GB, Linux .*; 5 rounds(; load average .*)?$/)
})
