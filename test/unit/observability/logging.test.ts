import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { LOG_COMPONENTS, ProcessLog } from '../../../sidecar/observability/logging.ts'

const folder = mkdtempSync(join(tmpdir(), 'hopwise-log-'))
after(() => rmSync(folder, { recursive: true }))
const AT = Date.UTC(2026, 10, 21, 8, 13, 40, 752)
let files = 0

function log(options: object = {}) {
  const path = join(folder, `log-${files++}`)
  return { path, log: new ProcessLog({ path, ...options }, () => AT), read: () => readFileSync(path, 'utf8') }
}

test('a text line has date, level and component, then the text and its fields', () => {
  const { log: processLog, read } = log({ format: 'text' })
  processLog.logger('router').warning({ cluster: 'b', retries: 2, why: 'no host' }, 'gave up')
  processLog.logger('main').info('ready')
  assert.equal(
    read(),
    '[2026-11-21 08:13:40.752][warning][router] gave up cluster=b retries=2 why="no host"\n' +
      '[2026-11-21 08:13:40.752][info][main] ready\n',
  )
})

test('a JSON line is the same before and after pino is loaded', async () => {
  const { log: processLog, read } = log()
  const upstream = processLog.logger('upstream')
  const error = new TypeError('broken')
  upstream.error({ host: '10.0.0.7:80', err: error }, 'connect failed')
  upstream.critical('only text')
  await processLog.loadPino()
  upstream.error({ host: '10.0.0.7:80', err: error }, 'connect failed')
  upstream.critical('only text')
  const lines = read().trim().split('\n')
  assert.equal(lines[0], lines[2])
  assert.equal(lines[1], lines[3])
  assert.deepEqual(JSON.parse(lines[0]!), {
    level: 'error',
    time: '2026-11-21T08:13:40.752Z',
    pid: process.pid,
    component: 'upstream',
    host: '10.0.0.7:80',
    err: { type: 'TypeError', message: 'broken', stack: error.stack },
    msg: 'connect failed',
  })
})

test('each component has its level, which can be changed while it logs', () => {
  const { log: processLog, read } = log({ format: 'text', level: 'error' })
  const router = processLog.logger('router')
  router.info('unseen')
  processLog.set('router', 'debug')
  assert.equal(router.debugs, true)
  assert.equal(router.traces, false)
  router.debug('seen')
  router.trace('unseen')
  processLog.logger('http').warning('unseen')
  processLog.setAll('off')
  router.critical('unseen')
  assert.equal(read(), '[2026-11-21 08:13:40.752][debug][router] seen\n')
  assert.deepEqual(
    [...processLog.levels()],
    LOG_COMPONENTS.map(component => [component, 'off']),
  )
})

test('levels per component come as Envoy takes them on its command line, and mistakes are named', () => {
  const { log: processLog } = log()
  assert.equal(processLog.setComponents('upstream:debug,http:trace,main:warn'), undefined)
  assert.equal(new Map(processLog.levels()).get('main'), 'warning')
  processLog.configure({ format: 'json' })
  assert.equal(new Map(processLog.levels()).get('upstream'), 'debug', 'configuring the format leaves levels alone')
  assert.equal(new Map(processLog.levels()).get('http'), 'trace')
  assert.match(processLog.setComponents('nope:debug') ?? '', /no log component "nope"/)
  assert.match(processLog.setComponents('http:loud') ?? '', /no log level "loud"/)
})

test('after a rotation reopening writes to the new file', () => {
  const { log: processLog, path, read } = log({ format: 'text' })
  processLog.logger('main').info('one')
  renameSync(path, `${path}.1`)
  processLog.logger('main').info('two')
  processLog.reopen()
  processLog.logger('main').info('three')
  assert.match(readFileSync(`${path}.1`, 'utf8'), /one\n.*two\n$/)
  assert.match(read(), /^\S+ \S+ three\n$/)
})

test('what cannot be printed or written does not stop the one who logs', () => {
  const { log: processLog, read } = log()
  const circle: Record<string, unknown> = { big: 10n }
  circle['self'] = circle
  processLog.logger('admin').info({ circle }, 'odd')
  assert.match(read(), /"circle":\{"big":"10","self":"\[Circular\]"\}/)
  if (process.platform === 'linux') {
    const full = new ProcessLog({ path: '/dev/full', format: 'text' })
    full.logger('admin').info('lost')
    assert.equal(full.dropped, 1)
  }
  assert.throws(() => new ProcessLog({ path: '/no/such/folder/log' }), { code: 'ENOENT' })
})

test('a pattern as Envoy takes it: flags, padding, and what nobody knows as it stands', () => {
  const zone = process.env['TZ']
  process.env['TZ'] = 'UTC'
  const lines = (pattern: string) => {
    const { log: processLog, read } = log({ pattern })
    processLog.logger('router').warning({ cluster: 'b' }, 'gave "up"')
    return read()
  }
  // What Istio gives.
  assert.equal(
    lines('%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t'),
    '2026-11-21T08:13:40.752000Z\twarning\tenvoy router :\tgave "up" cluster=b\tthread=0\n',
  )
  assert.equal(
    lines('[%8l|%-8l|%=9l|%3!l|%L|%P] %%%Q %e %z %p %D %R %E'),
    `[ warning|warning | warning |war|W|${process.pid}] %%Q 752 +00:00 AM 11/21/26 08:13 ${(AT / 1000) | 0}\n`,
  )
  assert.equal(lines('{"msg":"%j"}'), '{"msg":"gave \\"up\\" cluster=b"}\n')
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
})
