import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { onOwnBug } from '../../../sidecar/base/own-bug.ts'
import { Timer, TimerWheel } from '../../../sidecar/base/timer-wheel.ts'

function wheelWithClock() {
  const clock = new ManualClock()
  const wheel = new TimerWheel(clock)
  const run = (ms: number) => {
    clock.advance(ms)
    wheel.advance()
  }
  return { clock, wheel, run }
}

describe('timer wheel', () => {
  test('a timer fires once, at its deadline or within one tick after it', () => {
    const { clock, wheel, run } = wheelWithClock()
    const fired: number[] = []
    wheel.start(new Timer(() => fired.push(clock.now())), 42)
    for (let i = 0; i < 20; i++) run(5)
    assert.equal(fired.length, 1)
    assert.ok(fired[0]! >= 42 && fired[0]! <= 47, `fired at ${fired[0]}`)
    wheel.close()
  })

  test('a timer that throws is told, and the others fire all the same', () => {
    const { wheel, run } = wheelWithClock()
    const told: unknown[] = []
    onOwnBug((error, where) => told.push(`${where}: ${error}`))
    let fired = 0
    wheel.start(
      new Timer(() => {
        throw new Error('a bug')
      }),
      10,
    )
    wheel.start(new Timer(() => fired++), 10)
    run(100)
    assert.deepEqual(told, ['a timer: Error: a bug'])
    assert.equal(fired, 1)
    wheel.close()
  })

  test('a stopped timer does not fire, and stopping it again is harmless', () => {
    const { wheel, run } = wheelWithClock()
    let fired = 0
    const timer = new Timer(() => fired++)
    wheel.start(timer, 10)
    wheel.stop(timer)
    wheel.stop(timer)
    run(100)
    assert.equal(fired, 0)
    assert.equal(wheel.size, 0)
    wheel.close()
  })

  test('starting a running timer moves its deadline', () => {
    const { wheel, run } = wheelWithClock()
    let fired = 0
    const timer = new Timer(() => fired++)
    wheel.start(timer, 10)
    wheel.start(timer, 1000)
    run(500)
    assert.equal(fired, 0)
    run(510)
    assert.equal(fired, 1)
    wheel.close()
  })

  test('deadlines beyond one turn of the wheel are kept', () => {
    const { wheel, run } = wheelWithClock()
    let fired = 0
    wheel.start(new Timer(() => fired++), 3_600_000)
    for (let i = 0; i < 359; i++) run(10_000)
    assert.equal(fired, 0)
    run(10_010)
    assert.equal(fired, 1)
    wheel.close()
  })

  test('a sleep longer than a turn fires everything that was due', () => {
    const { wheel, run } = wheelWithClock()
    let fired = 0
    for (let ms = 1; ms < 20_000; ms += 37) wheel.start(new Timer(() => fired++), ms)
    const count = wheel.size
    run(60_000)
    assert.equal(fired, count)
    wheel.close()
  })

  test('a timer may start and stop others, and itself, while it fires', () => {
    const { wheel, run } = wheelWithClock()
    const fired: string[] = []
    const victim = new Timer(() => fired.push('victim'))
    const again = new Timer(() => {
      fired.push('again')
      if (fired.length < 3) wheel.start(again, 0)
    })
    const killer = new Timer(() => {
      fired.push('killer')
      wheel.stop(victim)
    })
    wheel.start(killer, 10)
    wheel.start(victim, 10)
    wheel.start(again, 10)
    run(15)
    run(15)
    run(15)
    assert.deepEqual(fired, ['killer', 'again', 'again'])
    wheel.close()
  })

  test('whatever is started and stopped, each running timer fires exactly once and none early', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('start' as const), id: fc.nat(20), ms: fc.nat(20_000) }),
      fc.record({ op: fc.constant('stop' as const), id: fc.nat(20), ms: fc.constant(0) }),
      fc.record({ op: fc.constant('advance' as const), id: fc.constant(0), ms: fc.nat(8000) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const { clock, wheel, run } = wheelWithClock()
        const due = new Map<number, number>()
        const timers = Array.from(
          { length: 21 },
          (_, id) =>
            new Timer(() => {
              const deadline = due.get(id)
              assert.ok(deadline !== undefined, `timer ${id} fired without running`)
              assert.ok(clock.now() >= deadline, `timer ${id} fired early`)
              due.delete(id)
            }),
        )
        for (const { op, id, ms } of steps) {
          if (op === 'start') {
            due.set(id, clock.now() + ms)
            wheel.start(timers[id]!, ms)
          } else if (op === 'stop') {
            due.delete(id)
            wheel.stop(timers[id]!)
          } else {
            run(ms)
            for (const [late, deadline] of due) assert.ok(clock.now() < deadline + 5, `timer ${late} is late`)
          }
          assert.equal(wheel.size, due.size)
        }
        wheel.close()
      }),
      { numRuns: 200 },
    )
  })

  test('on the system clock the driver fires timers by itself and sleeps when there are none', async () => {
    const { systemClock } = await import('../../../sidecar/base/clock.ts')
    const wheel = new TimerWheel(systemClock)
    const hold = setTimeout(() => {}, 60_000)
    await new Promise<void>(resolve => wheel.start(new Timer(resolve), 20))
    await new Promise<void>(resolve => {
      wheel.start(new Timer(() => assert.fail('this one is stopped')), 900)
      const long = new Timer(resolve)
      wheel.start(long, 5000)
      wheel.start(long, 30)
    })
    assert.equal(wheel.size, 1)
    wheel.close()
    clearTimeout(hold)
  })

  test('a timer that starts another, later one does not hold up those between', async () => {
    const { systemClock } = await import('../../../sidecar/base/clock.ts')
    const wheel = new TimerWheel(systemClock)
    const hold = setTimeout(() => {}, 60_000)
    const started = systemClock.now()
    const between = Promise.withResolvers<number>()
    wheel.start(new Timer(() => between.resolve(systemClock.now() - started)), 60)
    const late = new Timer(() => {})
    wheel.start(new Timer(() => wheel.start(late, 40_000)), 20)
    const elapsed = await between.promise
    clearTimeout(hold)
    wheel.close()
    // With the later one it would be 40 s.
    assert.ok(elapsed < 30_000, `fired after ${elapsed} ms`)
  })
})
