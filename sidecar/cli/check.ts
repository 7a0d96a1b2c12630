/**
 * `hopwise check`: looks over a running sidecar and, with `-c`, its configuration file; a line per check, and for each that
 * is not well what to do. The checks themselves are in `checks/`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { CliIo } from '../base/verb.ts'
import { visible } from '../base/visible-text.ts'
import { ADMIN_HELP, ADMIN_OPTION, AdminClient } from './admin-client.ts'
import { type Check, isWorse } from './checks/check.ts'
import { checkConfiguration } from './checks/configuration.ts'
import { checkMachine } from './checks/machine.ts'
import { checkPorts } from './checks/ports.ts'
import { checkSidecar } from './checks/sidecar.ts'
import { command, seconds, UsageError } from './command.ts'
import { painter } from './table.ts'

export const checkHelp = `usage: hopwise check [-c FILE] [--admin HOST:PORT] [--offline] [--wait SECONDS] [--json]

Looks over this machine, a running sidecar and, with -c, its configuration file. Each line begins with
  √  well     ‼  works, but hardly as it was meant     ×  does not work
and says below it what to do.

  -c FILE            the configuration, checked as by validate; whether its ports are free (or the sidecar's), and whether
                     the application behind its INBOUND listeners answers
${ADMIN_HELP}
  --offline          this machine and the configuration only; no sidecar is asked
  --wait SECONDS     look again until nothing is ×, for so long
  --json             one JSON document

  hopwise check
  hopwise check -c envoy.yaml --offline
  hopwise check --wait 30 --json

Exit codes: 0 no ×, 1 at least one, 2 wrong command line.
`

const AGAIN_MS = 1000

export const check = command(
  'check',
  checkHelp,
  {
    ...ADMIN_OPTION,
    'config-path': { type: 'string', short: 'c' },
    offline: { type: 'boolean' },
    wait: { type: 'string' },
    json: { type: 'boolean' },
  },
  async ({ values, positionals, io }) => {
    if (positionals.length > 0) throw new UsageError(`takes no arguments, but was given '${positionals[0]}'`)
    if (values.offline === true && values.admin !== undefined) throw new UsageError('--offline asks no sidecar')
    const file = values['config-path']
    const configuration = file === undefined ? undefined : checkConfiguration(file)
    const admin = AdminClient.of(values.admin ?? configuration?.admin)
    const end = performance.now() + (seconds('--wait', values.wait) ?? 0) * 1000
    for (;;) {
      const offline = values.offline === true
      const sidecar = offline ? [] : await checkSidecar(admin)
      const runs = sidecar.some(({ id, status }) => id === 'sidecar.reachable' && status === 'ok')
      const { bootstrap } = configuration ?? {}
      const checks = [
        ...checkMachine(),
        ...(configuration?.checks ?? []),
        ...(bootstrap === undefined ? [] : await checkPorts(bootstrap, runs ? 'runs' : offline ? 'unknown' : 'away')),
        ...sidecar,
      ]
      const failed = checks.some(({ status }) => status === 'error')
      if (failed && performance.now() < end) {
        await delay(AGAIN_MS)
        continue
      }
      if (values.json === true) io.out(`${JSON.stringify({ ok: !failed, checks }, undefined, 2)}\n`)
      else print(checks, io)
      return failed ? 1 : 0
    }
  },
)

const MARKS = { ok: ['√', 'green'], warning: ['‼', 'yellow'], error: ['×', 'red'] } as const

function print(checks: readonly Check[], io: CliIo): void {
  const paint = painter(io.colours)
  let group = ''
  for (const one of checks) {
    if (one.group !== group) {
      io.out(`${group === '' ? '' : '\n'}${paint(one.group, 'bold')}\n${'-'.repeat(one.group.length)}\n`)
      group = one.group
    }
    const [mark, colour] = MARKS[one.status]
    io.out(`${paint(mark, colour)} ${visible(one.text)}\n`)
    if (one.hint !== '') io.out(`    ${visible(one.hint)}\n`)
  }
  const worst = checks.reduce<Check['status']>(
    (status, one) => (isWorse(one.status, status) ? one.status : status),
    'ok',
  )
  const count = (status: Check['status']) => checks.filter(one => one.status === status).length
  const summary =
    worst === 'ok'
      ? 'all is well'
      : `${count('error')} × to mend, ${count('warning')} ‼ to look at, ${count('ok')} √ well`
  io.out(`\n${paint(summary, MARKS[worst][1])}\n`)
}
