import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../../kit/install-once.ts'
import { TestProcess } from '../../kit/process.ts'
import { temporaryFolder } from '../../kit/proxy-process.ts'

const script = join(repository, 'demo-services', 'supervise.sh')

test('what ends by itself is started again, after the time it has asked for', async t => {
  const folder = temporaryFolder()
  const program = join(folder, 'program.sh')
  // Says which time it is, asks for 30 ms and ends; the third time it stays.
  writeFileSync(
    program,
    `echo x >> ${folder}/times; n=$(wc -l < ${folder}/times); echo "run $n"; [ $n -lt 3 ] || exec sleep 60
echo 30 > ${folder}/down-ms; exit 7`,
  )
  const supervised = TestProcess.start('sh', [script, 'sh', program], { env: { TMPDIR: folder } })
  t.after(() => supervised.stop('SIGKILL'))
  await supervised.waitForLine('run 3')
  assert.equal(supervised.output.match(/ended with 7, starts again in 30 ms/g)?.length, 2)
  supervised.signal('SIGTERM')
  assert.equal(await supervised.exited, 0)
})

test('it ends at once while it waits', async () => {
  const folder = temporaryFolder()
  const supervised = TestProcess.start('sh', [script, 'sh', '-c', 'echo 60000 > "$TMPDIR/down-ms"'], {
    env: { TMPDIR: folder },
  })
  await supervised.waitForLine('starts again in 60000 ms')
  supervised.signal('SIGTERM')
  assert.equal(await supervised.exited, 0)
})
