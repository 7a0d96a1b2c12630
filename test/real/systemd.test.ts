/**
 * `sidecar/docs/systemd.md`: its commands and its unit as they stand there, under a systemd that is the first process of a
 * container, beside a service `orders`.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startDocker } from '../kit/docker-daemon.ts'
import { blocks, readDoc } from '../kit/docs-page.ts'
import { dockerd, partOrSkip } from '../kit/parts.ts'
import { SystemdMachine } from '../kit/systemd-machine.ts'
import { waitFor } from '../kit/wait-for.ts'

const DEADLINE_MS = 10 * 60_000
const SLOW = { deadlineMs: 60_000, everyMs: 100 }
const UNIT = 'orders-sidecar'
const CONFIGURATION = '/etc/hopwise/orders.yaml'
const ADMIN = 'http://127.0.0.1:9901'
const CAP_NET_BIND_SERVICE = 10

/** The service: it holds what asks for /held until something asks for /release, and /count says how many are held. */
const APPLICATION = `
const held = []
require('node:http').createServer((request, response) => {
  if (request.url === '/held') return held.push(response)
  if (request.url === '/release') for (const waiting of held.splice(0)) waiting.end('at last')
  response.end(request.url === '/count' ? String(held.length) : 'orders: ' + request.url)
}).listen(8080, '127.0.0.1')
`
const APPLICATION_UNIT = `
[Service]
ExecStart=/opt/hopwise/node_modules/node-linux-${process.arch}/bin/node /srv/orders.js
[Install]
WantedBy=multi-user.target
`

test('systemd.md: the commands of the page, and what the unit promises', { timeout: DEADLINE_MS }, async t => {
  const docker = await partOrSkip(t, 'docker')
  const root = docker && (await partOrSkip(t, 'debian-systemd'))
  if (docker === undefined || root === undefined) return
  const daemon = await startDocker(docker, dockerd)
  let machine: SystemdMachine | undefined
  t.after(async () => {
    await machine?.remove()
    await daemon.stop()
  })
  machine = await SystemdMachine.boot({ docker, env: daemon.env }, root)
  const sidecar = new Sidecar(machine)
  const { sh, can, show } = bound(machine)
  const orders = readDoc('orders.yaml')

  await machine.write(CONFIGURATION, orders)
  await machine.write('/srv/orders.js', APPLICATION)
  await machine.write('/etc/systemd/system/orders.service', APPLICATION_UNIT)
  await sh('systemctl enable --now orders')

  await t.test('the commands work one after the other, as they stand there', async () => {
    const [commands, ...others] = blocks('systemd.md', 'sh')
    assert.deepEqual(others, [])
    await sh(commands!)
    assert.deepEqual(await show(UNIT, 'ActiveState', 'SubState', 'UnitFileState', 'NRestarts', 'ReloadResult'), {
      ActiveState: 'active',
      SubState: 'running',
      UnitFileState: 'enabled',
      NRestarts: '0',
      ReloadResult: 'success',
    })
    assert.equal(await sh(`curl --silent --fail ${ADMIN}/ready`), 'LIVE')
    assert.equal(await sh('curl --silent --fail http://127.0.0.1:15006/today'), 'orders: /today')
    await waitFor(async () => (await sidecar.reloads()) === 1, { ...SLOW, what: 'the reload that the page asks for' })
  })

  await t.test('systemd has nothing to say about the unit', async () => {
    assert.equal(await sh(`systemd-analyze verify ${UNIT}.service 2>&1`), '')
    // It would.
    await sh(`sed 's/^ProtectHome=yes/ProtectHome=perhaps/' sidecar/docs/hopwise.service >/tmp/wrong.service`)
    assert.match(
      await sh('systemd-analyze verify /tmp/wrong.service 2>&1 || true'),
      /wrong\.service:\d+: Failed to parse .*perhaps/,
    )
  })

  await t.test('there is no wrapper, and the process is as confined as the unit says', async () => {
    const pid = await sidecar.pid()
    const status = await sh(`cat /proc/${pid}/status`)
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]
    assert.match(
      await sh(`tr '\\0' ' ' </proc/${pid}/cmdline`),
      /\/node .*\/start\.mjs run -c \/etc\/hopwise\/orders.yaml/,
    )
    assert.equal((await show(UNIT, 'ControlGroup'))['ControlGroup'], `/system.slice/${UNIT}.service`)

    const uids = field('Uid')!.split('\t').map(Number)
    // DynamicUser's: systemd.exec(5).
    for (const uid of uids) assert.ok(uid >= 61184 && uid <= 65519, `user ${uid}`)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      assert.equal(Number(`0x${field(set)}`), 1 << CAP_NET_BIND_SERVICE, set)
    }
    assert.equal(field('NoNewPrivs'), '1')
    assert.equal(field('Seccomp'), '2')

    // What it sees of the machine, from inside its mounts; a mount that systemd could not make would be missing here.
    const mounts = new Map(
      (await sh(`cat /proc/${pid}/mountinfo`)).split('\n').map(line => {
        const [, , , from, path, options, ...rest] = line.split(' ')
        return [path!, `${options} ${from} ${rest.at(-1)}`]
      }),
    )
    for (const path of ['/', '/sys', '/dev', '/home', '/root', '/proc/sys', '/proc/kmsg', '/sys/fs/cgroup']) {
      assert.match(mounts.get(path) ?? 'none', /^ro,/, path)
    }
    for (const path of ['/tmp', '/var/tmp']) {
      // A folder of its own.
      assert.match(
        mounts.get(path) ?? 'none',
        /^rw,\S* \S*\/systemd-private-\w+-orders-sidecar\.service-\w+\/tmp /,
        path,
      )
    }
    assert.match(mounts.get('/proc')!, /hidepid=invisible/)

    assert.equal((await show(UNIT, 'MemoryMax'))['MemoryMax'], String(256 * 2 ** 20))
    // As many as asked for, or as many as the container itself may have.
    const files = (text: string) => Number(/^Max open files\s+(\d+)/m.exec(text)![1])
    const most = files(await sh(`awk '/^Max open files/ { $4 = $5 } 1' /proc/1/limits`))
    assert.equal(files(await sh(`cat /proc/${pid}/limits`)), Math.min(65536, most))
  })

  await t.test('what it logs is JSON in the journal', async () => {
    const lines = (await sh(`journalctl --unit ${UNIT} --output cat _PID=${await sidecar.pid()}`)).split('\n')
    assert.ok(lines.map(line => JSON.parse(line)).some(({ msg, service }) => msg === 'ready' && service === 'orders'))
  })

  // 80 is a port that a user without the capability does not get.
  const changed = orders.replace('port_value: 15006', 'port_value: 80').replace('timeout: 2s', 'timeout: 3s')

  await t.test('a changed configuration is taken over, by reload as well as by itself', async () => {
    const pid = await sidecar.pid()
    const before = await sidecar.reloads()
    await machine.write(CONFIGURATION, changed)
    await waitFor(async () => (await sidecar.reloads()) === before + 1, { ...SLOW, what: 'the watch on the file' })
    await sh(`systemctl reload ${UNIT}`)
    await waitFor(async () => (await sidecar.reloads()) === before + 2, { ...SLOW, what: 'a reload' })
    assert.equal(await sh('curl --silent --fail http://127.0.0.1:80/today'), 'orders: /today')
    assert.equal(await sidecar.pid(), pid)
  })

  await t.test('a wrong configuration fails the reload and changes nothing', async () => {
    const pid = await sidecar.pid()
    const before = await sidecar.reloads()
    await machine.write(CONFIGURATION, changed.replace('timeout: 3s', 'timeout: soon'))
    assert.equal(await can(`systemctl reload ${UNIT}`), false)
    const { ReloadResult, ActiveState } = await show(UNIT, 'ReloadResult', 'ActiveState')
    assert.deepEqual({ ReloadResult, ActiveState }, { ReloadResult: 'exit-code', ActiveState: 'active' })
    assert.match(
      await sh(`journalctl --unit ${UNIT} --output cat`),
      /^\/etc\/hopwise\/orders\.yaml:\d+:\d+: error: .*"soon"/m,
    )
    assert.equal(await sh('curl --silent --fail http://127.0.0.1:80/today'), 'orders: /today')
    assert.deepEqual([await sidecar.pid(), await sidecar.reloads()], [pid, before])
    await machine.write(CONFIGURATION, changed)
    await sh(`systemctl reload ${UNIT}`)
  })

  await t.test('it comes back when it is killed', async () => {
    const pid = await sidecar.pid()
    await sh(`systemctl kill --kill-whom main --signal KILL ${UNIT}`)
    await waitFor(async () => (await show(UNIT, 'NRestarts'))['NRestarts'] === '1', { ...SLOW, what: 'a restart' })
    await waitFor(() => can(`systemctl is-active ${UNIT} && curl --silent --fail ${ADMIN}/ready`), SLOW)
    assert.notEqual(await sidecar.pid(), pid)
  })

  await t.test('stop waits for what is under way, and ends well', async () => {
    const request = machine.start('curl --silent --fail --max-time 60 http://127.0.0.1:80/held')
    await waitFor(async () => (await sh('curl --silent http://127.0.0.1:8080/count')) === '1', SLOW)
    const stop = machine.start(`systemctl stop ${UNIT}`)
    await waitFor(async () => (await show(UNIT, 'SubState'))['SubState'] === 'stop-sigterm', SLOW)
    await waitFor(() => can(`journalctl --unit ${UNIT} --output cat | grep --quiet '"msg":"draining"'`), SLOW)
    assert.equal(request.exitCode, undefined, 'the request is still under way')
    await sh('curl --silent http://127.0.0.1:8080/release')
    assert.equal(await request.exited, 0)
    assert.equal(request.stdout, 'at last')
    assert.equal(await stop.exited, 0, stop.output)
    assert.deepEqual(await show(UNIT, 'ActiveState', 'Result', 'ExecMainStatus'), {
      ActiveState: 'inactive',
      Result: 'success',
      ExecMainStatus: '0',
    })
  })

  await t.test('it does not start with a wrong configuration, nor where its port is taken', async () => {
    await machine.write(CONFIGURATION, changed.replace('timeout: 3s', 'timeout: soon'))
    assert.equal(await can(`systemctl start ${UNIT}`), false)
    await sh(`systemctl stop ${UNIT}`)
    // The port of the application.
    await machine.write(CONFIGURATION, changed.replace('port_value: 80}', 'port_value: 8080}'))
    assert.equal(await can(`systemctl start ${UNIT}`), false)
    await sh(`systemctl stop ${UNIT}`)
    assert.match(await sh(`journalctl --unit ${UNIT} --output cat`), /^hopwise run: .*8080.*address.* in use/im)
    await machine.write(CONFIGURATION, changed)
  })

  await t.test('it is there after a boot, and ready before the service starts', async () => {
    await machine.reboot()
    await waitFor(() => can('systemctl is-active orders'), SLOW)
    // By its own clock and words against systemd's.
    const lines = (await sh(`journalctl --boot --unit ${UNIT} --output cat _PID=${await sidecar.pid()}`)).split('\n')
    const ready = Date.parse(lines.map(line => JSON.parse(line)).find(({ msg }) => msg === 'ready').time)
    const began = 'systemctl show --timestamp us+utc --property InactiveExitTimestamp --value orders'
    const started = Number(await sh(`date --date "$(${began})" +%s%3N`))
    assert.ok(ready <= started, `ready at ${ready} ms, the service started at ${started} ms`)
  })
})

/** What the tests ask of the sidecar of the machine. */
class Sidecar {
  readonly #machine: SystemdMachine

  constructor(machine: SystemdMachine) {
    this.#machine = machine
  }

  async pid(): Promise<number> {
    return Number((await this.#machine.show(UNIT, 'MainPID'))['MainPID'])
  }

  async reloads(): Promise<number> {
    const text = await this.#machine.sh(`curl --silent --fail '${ADMIN}/stats?filter=config_reload_success'`)
    return Number(/config_reload_success: (\d+)/.exec(text)![1])
  }
}

function bound(machine: SystemdMachine) {
  return {
    sh: (script: string) => machine.sh(script),
    can: (script: string) => machine.can(script),
    show: (unit: string, ...names: readonly string[]) => machine.show(unit, ...names),
  }
}
