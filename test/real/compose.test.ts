/**
 * `compose/` on a machine that reaches no image registry: the stack comes up by itself and names its first failure, and
 * then each class of failure at each service is named rightly by answers, Prometheus, Zipkin and the page
 * (`compose/verify.ts`). Base images are made here under their public names.
 */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { CELLS } from '../../compose/cells.ts'
import { Stack } from '../../compose/stack.ts'
import { frequentScrapes, LEAST_AT_ONCE, Verification, verifyCells } from '../../compose/verify.ts'
import { Browser } from '../../demo-services/browser.ts'
import { inspect, withDocker } from '../kit/docker.ts'
import { baseNames } from '../kit/docker-images.ts'
import { partOrSkip } from '../kit/parts.ts'
import { waitFor } from '../kit/wait-for.ts'

const DEADLINE_MS = 24 * 60_000
/** What the sidecar's image may add to the one with Node that it is of. */
const MAX_ADDED_BYTES = 80e6
const MAX_GO_BYTES = 60e6

test('the stack of compose/ finds what is broken in it', { timeout: DEADLINE_MS }, async t => {
  const docker = await partOrSkip(t, 'docker')
  if (docker === undefined) return
  const client = await withDocker(docker)
  const prometheus = frequentScrapes()
  const stack = new Stack({
    docker: client.docker,
    // As it is by default, but slower: requests are told apart by there being few at a time.
    env: { ...client.env, PROMETHEUS_CONFIG: prometheus, RATE: '8' },
    overrides: ['compose.local-bases.yaml'],
    project: 'hopwise-test',
  })
  t.after(async () => {
    await stack.down()
    await client.stop()
    rmSync(prometheus, { recursive: true })
  })
  try {
    // What a run that was ended from outside has left.
    await stack.down()
    await stack.build()
    await t.test('images are small, run as nobody in particular and say whether they are well', () => {
      const names = ['hopwise/sidecar:dev', 'hopwise/demo-node:dev', 'hopwise/demo-go:dev']
      for (const user of inspect(client, 'image', '{{.Config.User}}', ...names)) assert.equal(user, '65532:65532')
      for (const check of inspect(client, 'image', '{{if .Config.Healthcheck}}has one{{end}}', ...names)) {
        assert.equal(check, 'has one')
      }
      const [node, sidecar, go] = inspect(client, 'image', '{{.Size}}', baseNames().node, names[0]!, names[2]!).map(
        Number,
      )
      assert.ok(sidecar! - node! < MAX_ADDED_BYTES, `the sidecar adds ${(sidecar! - node!) / 1e6} MB to its base`)
      assert.ok(go! < MAX_GO_BYTES, `${go! / 1e6} MB`)
    })

    const began = performance.now()
    await stack.up()
    const up = performance.now()
    await t.test('the first failure is named without another command', async () => {
      await waitFor(() => /FAILED {3}c: app_error .*c → b → a → front/.test(stack.logs('traffic', 200)), {
        deadlineMs: 60_000,
        everyMs: 500,
        what: 'c as the origin in the output of `docker compose up`',
      }).catch((error: Error) => assert.fail(`${error.message}:\n${stack.logs('traffic', 200)}`))
      const seconds = (ms: number) => (ms / 1000).toFixed(0)
      t.diagnostic(`up in ${seconds(up - began)} s, the hop named ${seconds(performance.now() - up)} s later`)
      await waitFor(() => stack.logs('traffic', 200).includes('mended'), { deadlineMs: 30_000, everyMs: 500 })
    })

    await t.test('every sidecar has its limits, no capability and nothing to write to', async () => {
      const ids = (await stack.compose('ps', '--quiet')).trim().split('\n')
      const format =
        '{{index .Config.Labels "com.docker.compose.service"}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} ' +
        '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}'
      const sidecars = inspect(client, 'container', format, ...ids).filter(line => /^(\w+-sidecar|front) /.test(line))
      assert.equal(sidecars.length, 7)
      for (const line of sidecars) assert.match(line, /^[\w-]+ 201326592 1000000000 true \[ALL\]$/)
    })

    const verification = new Verification(stack)
    await verification.begin()
    await t.test('`docker compose run break` breaks what it is told to', async () => {
      const run = (...terms: string[]) => stack.compose('run', '--rm', '--no-deps', 'break', ...terms)
      const said = await run('c=503', 'd2=delay:50ms')
      assert.match(said, /^c: \{"status":503\}$/m)
      assert.match(said, /^d2: \{"delayMs":50\}$/m)
      await waitFor(() => verification.lastStatus().then(status => status >= 500), { everyMs: 200, deadlineMs: 10_000 })
      assert.match(await run('all=well'), /^c: well$/m)
      await assert.rejects(run('e=500'), /there is no service 'e'/)
      await assert.rejects(run('c=hangs'), /did you mean 'hang'/)
      await waitFor(() => verification.lastStatus().then(status => status === 200), {
        everyMs: 200,
        deadlineMs: 20_000,
      })
    })

    await t.test('the page over all sidecars turns the right service red, and back', async t => {
      const chromium = await partOrSkip(t, 'chromium')
      if (chromium === undefined) return
      const browser = await Browser.start(chromium)
      t.after(() => browser.close())
      const page = await browser.open(stack.url('traffic', 8081))
      const marked = `[...document.querySelectorAll('.node[data-origin]')].map(node => node.dataset.service + ': ' + node.dataset.origin).join()`
      await page.waitFor(`document.querySelectorAll('.node').length >= 7 && ${marked} === ''`, 40_000)
      await stack.compose('run', '--rm', '--no-deps', 'break', 'd=500')
      await page.waitFor(`${marked} === 'd: app_error'`, 30_000)
      await stack.compose('run', '--rm', '--no-deps', 'break', 'all=well')
      await page.waitFor(`${marked} === ''`, 40_000)
      assert.deepEqual(page.errors, [])
    })

    await t.test('the edge routes by path, over TLS', async () => {
      assert.equal((await verification.askEdge('/healthz')).status, 200)
      assert.equal((await verification.askEdge('/prices/')).status, 200)
      assert.equal((await verification.askEdge('/elsewhere')).status, 404)
    })

    await t.test('one request is one trace, from the edge to d and through all who trace', () =>
      verification.oneTrace(),
    )
    await t.test('Zipkin draws a → b → c → d', () => verification.dependencies())

    await t.test("requests go to d's three instances as their weights say, 5 : 2 : 3", async () => {
      // Weighted round robin of one worker comes to the same after every ten requests, wherever it begins: no tolerance.
      assert.deepEqual(await verification.requestsPerInstance(100), { d1: 50, d2: 20, d3: 30 })
    })

    const { verdicts, again } = await verifyCells(verification, CELLS, () => {})
    for (const { cell, told, problems } of verdicts) {
      await t.test(cell.title, () => assert.deepEqual(problems, [], told))
    }
    await t.test('nearly all are named rightly at once', () => {
      const told = again.map(({ cell, problems }) => `${cell.title}: ${problems.join('; ')}`).join('\n')
      t.diagnostic(`${again.length} of ${CELLS.length} cells were run again\n${told}`)
      assert.ok(again.length <= (1 - LEAST_AT_ONCE) * CELLS.length, told)
    })
  } catch (error) {
    t.diagnostic(`the last of the traffic driver: ${stack.logs('traffic')}`)
    throw error
  }
})
