import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CATALOGUE, faultOf } from '../../../demo-services/catalogue.ts'
import { chooseFaults, lieAbout, parseBreak, UnknownFault } from '../../../demo-services/choice.ts'
import { help, parseOptions, WrongOption } from '../../../demo-services/options.ts'

const names = (faults: readonly { kind: string; hop: string }[]) => faults.map(({ kind, hop }) => `${hop}:${kind}`)

test('a seed always chooses the same faults at the same hops, and another seed others', () => {
  assert.deepEqual(names(chooseFaults(7, 14)), names(chooseFaults(7, 14)))
  assert.notDeepEqual(names(chooseFaults(7, 14)), names(chooseFaults(8, 14)))
})

test('every choice has what is always shown, each kind once, each at a hop where it can happen', () => {
  for (let seed = 0; seed < 200; seed++) {
    const faults = chooseFaults(seed, 14)
    const kinds = faults.map(({ kind }) => kind)
    assert.equal(new Set(kinds).size, 14)
    for (const { name, always } of CATALOGUE) if (always) assert.ok(kinds.includes(name), `${name}, seed ${seed}`)
    for (const { kind, hop } of faults) assert.ok(CATALOGUE.find(({ name }) => name === kind)!.hops.includes(hop))
  }
})

test('more faults than there are kinds come again at other hops', () => {
  const faults = chooseFaults(1, CATALOGUE.length + 10)
  assert.equal(faults.length, CATALOGUE.length + 10)
  const again = names(faults).filter((name, i, all) => all.indexOf(name) !== i)
  const single = CATALOGUE.filter(({ hops }) => hops.length === 1).map(({ name }) => name)
  assert.deepEqual(
    again.filter(name => !single.includes(name.split(':')[1]!)),
    [],
  )
})

test('a lie about any fault breaks something whose truth is another than the one announced', () => {
  for (const kind of CATALOGUE) {
    for (const hop of kind.hops) {
      const { announced, injected } = lieAbout(faultOf(kind, hop))
      assert.equal(announced.hop, hop)
      assert.notEqual(injected.truth.origin, announced.truth.origin, `${kind.name} at ${hop}`)
      assert.notEqual(injected.truth.origin, undefined)
    }
  }
})

test('--break takes faults of the catalogue, a delay and a status', () => {
  assert.deepEqual(parseBreak('c:status=503').injections, [
    { kind: 'behave', instance: 'c', behaviour: { status: 503 } },
  ])
  assert.equal(parseBreak('d:down').injections.length, 6)
  const slow = parseBreak('c:delay=200ms')
  assert.deepEqual(slow.truth, { origin: 'c', causes: [], outcomes: ['slow'] })
  const tooSlow = parseBreak('c:delay=2s')
  assert.deepEqual(tooSlow.truth.outcomes, ['visible'])
  assert.deepEqual(tooSlow.injections[0], { kind: 'behave', instance: 'c', behaviour: { delayMs: 2000 } })
  assert.equal(parseBreak('d2:delay=100ms').truth.origin, 'd')
})

test('--break says what is wrong and what would be right', () => {
  const wrong: [string, RegExp][] = [
    ['c', /write HOP:FAULT, for example c:delay=2s/],
    ['c:stauts', /no fault 'stauts', did you mean 'status'\?/],
    ['x:down', /at b, c, d, outside, not at 'x'/],
    ['c:delay', /wants a time, for example c:delay=2s/],
    ['c:status=200', /a status from 500 to 599/],
  ]
  for (const [text, message] of wrong) assert.throws(() => parseBreak(text), { name: UnknownFault.name, message })
})

test('options are read, and wrong ones are answered with the nearest name', () => {
  const options = parseOptions(['--once', '--seed', '4', '--break', 'd:down', '--ports=20000', '--otel', 'off'])
  assert.deepEqual(options, {
    once: true,
    seed: 4,
    lie: false,
    mtls: false,
    http2: false,
    breaks: ['d:down'],
    ports: 20000,
    faults: 14,
    otel: false,
  })
  const wrong: [string[], RegExp][] = [
    [['--sed', '3'], /^no option --sed, did you mean --seed\?$/],
    [['--seed', 'x'], /^--seed must be a whole number/],
    [['--ports', '70000'], /^--ports must be a whole number up to 65000/],
    [['--otel', 'maybe'], /^--otel must be on or off/],
    [['once'], /once/],
  ]
  for (const [args, message] of wrong) assert.throws(() => parseOptions(args), { name: WrongOption.name, message })
  assert.equal(parseOptions(['--help']), 'help')
  assert.match(help(), /--lie .*must end with 1/)
})
