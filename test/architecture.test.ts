import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { architectureViolations } from './kit/architecture.ts'
import { repository } from './kit/install-once.ts'
import { temporaryFolder } from './kit/proxy-process.ts'

test('the rooms of sidecar/ keep their rules', () => {
  assert.deepEqual(architectureViolations(join(repository, 'sidecar')), [])
})

/** Each plants one violation in an otherwise clean tree: a check that cannot fail checks nothing. */
const planted: readonly { name: string; files: Record<string, string>; expected: RegExp }[] = [
  {
    name: 'an import that points up',
    files: { 'codec/a.ts': "import { b } from '../router/b.ts'\n", 'router/b.ts': '' },
    expected: /^codec\/a\.ts: codec imports router\/b\.ts, which is above it$/,
  },
  {
    name: 'an import of a type that points up',
    files: { 'base/a.ts': "import type { B } from '../observability/b.ts'\n", 'observability/b.ts': '' },
    expected: /^base\/a\.ts: base imports observability\/b\.ts/,
  },
  {
    name: 'an import over several lines and a dynamic one',
    files: { 'base/a.ts': "export const load = () => import('../http/b.ts')\n", 'http/b.ts': '' },
    expected: /^base\/a\.ts: base imports http\/b\.ts/,
  },
  {
    name: 'an import from test/',
    files: { 'base/a.ts': "import {\n  b,\n} from '../../test/kit/b.ts'\n" },
    expected: /^base\/a\.ts: imports \.\.\/test\/kit\/b\.ts from outside sidecar\/$/,
  },
  {
    name: 'a room that does not exist',
    files: { 'shared/a.ts': '' },
    expected: /^shared\/a\.ts: 'shared' is no room of sidecar\/$/,
  },
  {
    name: "Node's own HTTP on the data path",
    files: { 'upstream/a.ts': "import { request } from 'node:http'\n" },
    expected: /^upstream\/a\.ts: imports node:http$/,
  },
  {
    name: 'a codec that looks at the clock',
    files: { 'codec/a.ts': "import type { Clock } from '../base/clock.ts'\n", 'base/clock.ts': '' },
    expected: /^codec\/a\.ts: a codec imports base\/clock\.ts$/,
  },
  {
    name: 'an HTTP filter that reaches into the cluster manager',
    files: { 'filters/http/a.ts': "import { b } from '../../cluster/b.ts'\n", 'cluster/b.ts': '' },
    expected: /^filters\/http\/a\.ts: an HTTP filter imports cluster\/b\.ts/,
  },
  {
    name: 'a host room that names a filter',
    files: { 'http/a.ts': "import { b } from '../filters/http/b.ts'\n", 'filters/http/b.ts': '' },
    expected: /^http\/a\.ts: only extensions\.ts names filters/,
  },
  {
    name: 'a filter that does not ship',
    files: { 'extensions.ts': '', 'filters/http/a.ts': 'export const a: HttpFilterFactory<A> = {}\n' },
    expected: /^filters\/http\/a\.ts: a filter that extensions\.ts does not list$/,
  },
  {
    name: 'a file that asks where it lies',
    files: { 'config/a.ts': 'export const here = import.meta.dirname\n' },
    expected: /^config\/a\.ts: asks where it lies/,
  },
  {
    name: 'a file of 601 lines',
    files: { 'base/a.ts': '\n'.repeat(601) },
    expected: /^base\/a\.ts: 601 lines/,
  },
  {
    name: 'a drawer',
    files: { 'base/utils.ts': '' },
    expected: /^base\/utils\.ts: the name says nothing/,
  },
]

for (const { name, files, expected } of planted) {
  test(`${name} is found`, () => {
    const folder = temporaryFolder()
    const clean = { 'http/ok.ts': "import { c } from '../base/ok.ts'\n", 'base/ok.ts': "// from '../http/ok.ts'\n" }
    for (const [file, source] of Object.entries({ ...clean, ...files })) {
      mkdirSync(join(folder, dirname(file)), { recursive: true })
      writeFileSync(join(folder, file), source)
    }
    const found = architectureViolations(folder)
    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0]!, expected)
  })
}
