/** The dashboards against Grafana's own schema, field by field. What their queries bring is in `observability.test.ts`. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../kit/install-once.ts'
import { partOrSkip } from '../kit/parts.ts'
import { temporaryFile } from '../kit/proxy-process.ts'

const files = globSync('observability/grafana/dashboards/*.json', { cwd: repository }).map(file =>
  join(repository, file),
)

test("every dashboard is what Grafana's schema has, no field more and none less", async t => {
  const schema = await partOrSkip(t, 'grafana-schema')
  if (schema === undefined) return
  assert.equal(files.length, 3)
  const check = (...paths: string[]) => spawnSync(schema, paths, { encoding: 'utf8' })
  const { status, stdout } = check(...files)
  assert.equal(stdout, '')
  assert.equal(status, 0)
  const altered = temporaryFile(
    'altered.json',
    readFileSync(files[0]!, 'utf8').replace('"legendFormat"', '"legendFromat"'),
  )
  assert.match(check(altered).stdout, /targets\[0\].*unexpected field 'legendFromat'/)
  assert.equal(check(altered).status, 1)
})
