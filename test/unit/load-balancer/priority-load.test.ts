import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type PriorityHealth, priorityLoad } from '../../../sidecar/load-balancer/priority-load.ts'

function level(healthy: number, hosts: number, degraded = 0, overprovisioningFactor = 140): PriorityHealth {
  return { hosts, healthy, degraded, overprovisioningFactor }
}

/** The tables of Envoy's documentation, "Priority levels" and "Degraded endpoints". */
const DOCUMENTED: readonly (readonly [healthy: readonly number[], load: readonly number[]])[] = [
  [
    [100, 100],
    [100, 0],
  ],
  [
    [72, 72],
    [100, 0],
  ],
  [
    [71, 71],
    [99, 1],
  ],
  [
    [50, 50],
    [70, 30],
  ],
  [
    [25, 100],
    [35, 65],
  ],
  [
    [25, 25],
    [50, 50],
  ],
  [
    [100, 0, 0],
    [100, 0, 0],
  ],
  [
    [72, 72, 0],
    [100, 0, 0],
  ],
  [
    [71, 71, 0],
    [99, 1, 0],
  ],
  [
    [50, 50, 0],
    [70, 30, 0],
  ],
  [
    [50, 50, 50],
    [70, 30, 0],
  ],
  [
    [25, 100, 100],
    [35, 65, 0],
  ],
  [
    [25, 25, 100],
    [35, 35, 30],
  ],
]

for (const [healthy, load] of DOCUMENTED) {
  test(`priorities with ${healthy.join(', ')} % healthy hosts get ${load.join(', ')} % of the traffic`, () => {
    assert.deepEqual(
      priorityLoad(
        healthy.map(percent => level(percent, 100)),
        50,
      ).healthy,
      load,
    )
  })
}

test('what healthy hosts cannot take goes to degraded ones of all priorities before anything is lost', () => {
  const load = priorityLoad([level(25, 100, 75), level(25, 100, 0)], 50)
  assert.deepEqual(load, { healthy: [35, 35], degraded: [30, 0], panic: [false, false] })
})

test('a priority below the panic threshold panics only when the others cannot take everything', () => {
  assert.deepEqual(priorityLoad([level(10, 100), level(100, 100)], 50).panic, [false, false])
  assert.deepEqual(priorityLoad([level(10, 100), level(60, 100)], 50).panic, [true, false])
})

test('when all priorities panic the traffic follows the number of hosts', () => {
  assert.deepEqual(priorityLoad([level(0, 2), level(0, 6)], 50), {
    healthy: [25, 75],
    degraded: [0, 0],
    panic: [true, true],
  })
})

test('with panic off and nobody healthy priority 0 gets the traffic, to find nobody there', () => {
  assert.deepEqual(priorityLoad([level(0, 2), level(0, 6)], 0), {
    healthy: [100, 0],
    degraded: [0, 0],
    panic: [false, false],
  })
})

test('a cluster without hosts has all its traffic at priority 0', () => {
  assert.deepEqual(priorityLoad([level(0, 0)], 50).healthy, [100])
})

test('the shares always add up to 100 %', () => {
  const levels = fc.array(
    fc.record({
      hosts: fc.nat(20),
      healthy: fc.nat(20),
      degraded: fc.nat(20),
      overprovisioningFactor: fc.integer({ min: 100, max: 300 }),
    }),
    { minLength: 1, maxLength: 5 },
  )
  fc.assert(
    fc.property(levels, fc.integer({ min: 0, max: 100 }), (raw, threshold) => {
      const priorities = raw.map(({ hosts, healthy, degraded, overprovisioningFactor }) => {
        const good = Math.min(healthy, hosts)
        return { hosts, healthy: good, degraded: Math.min(degraded, hosts - good), overprovisioningFactor }
      })
      const load = priorityLoad(priorities, threshold)
      assert.equal(
        [...load.healthy, ...load.degraded].reduce((sum, share) => sum + share, 0),
        100,
      )
      for (const share of [...load.healthy, ...load.degraded]) assert.ok(share >= 0)
    }),
  )
})
