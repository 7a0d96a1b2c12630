import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { RoundRobinPicker } from '../../../sidecar/load-balancer/round-robin.ts'
import { fakeHost, fakeHosts, tally } from './fake-host.ts'

function picker(weights: readonly number[], seed = 1) {
  const hosts = weights.map(weight => fakeHost({ weight }))
  const robin = new RoundRobinPicker(new SeededRandom(seed))
  robin.update(hosts)
  return { hosts, robin }
}

test('weights 5, 2 and 3 give exactly 50, 20 and 30 % of every ten picks', () => {
  const { hosts, robin } = picker([5, 2, 3])
  for (let round = 0; round < 500; round++) {
    const counts = tally(10, () => robin.pick())
    assert.deepEqual(
      hosts.map(host => counts.get(host)),
      [5, 2, 3],
      `round ${round}`,
    )
  }
})

test('every window of one cycle is exact, whatever the weights and wherever it begins', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
      fc.nat(),
      (weights, seed) => {
        const { hosts, robin } = picker(weights, seed)
        const divisor = weights.reduce(gcd)
        const shares = weights.map(weight => weight / divisor)
        const cycle = shares.reduce((sum, share) => sum + share, 0)
        const picks = Array.from({ length: 4 * cycle }, () => robin.pick()!)
        for (let from = 0; from + cycle <= picks.length; from++) {
          const window = picks.slice(from, from + cycle)
          assert.deepEqual(
            hosts.map(host => window.filter(pick => pick === host).length),
            shares,
          )
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('no host waits for more than one turn of its own over its share', () => {
  const { hosts, robin } = picker([1, 9])
  const picks = Array.from({ length: 100 }, () => robin.pick())
  let last = -1
  for (const [i, pick] of picks.entries()) {
    if (pick !== hosts[0]) continue
    if (last >= 0) assert.equal(i - last, 10)
    last = i
  }
})

test('equal weights are plain round robin: all hosts in order, again and again', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5 }), fc.nat(), (count, weight, seed) => {
      const hosts = fakeHosts(count, { weight })
      const robin = new RoundRobinPicker(new SeededRandom(seed))
      robin.update(hosts)
      const first = hosts.indexOf(robin.pick() as (typeof hosts)[number])
      for (let i = 1; i < 3 * count; i++) assert.equal(robin.pick(), hosts[(first + i) % count])
    }),
  )
})

test('a host that leaves does not send the turn back to the beginning', () => {
  const hosts = fakeHosts(4)
  const robin = new RoundRobinPicker(new SeededRandom(4))
  robin.update(hosts)
  while (robin.pick() !== hosts[1]);
  robin.update([hosts[0]!, hosts[1]!, hosts[2]!])
  assert.equal(robin.pick(), hosts[2])
})

test('weights of different size change places with equal ones when the list changes', () => {
  const hosts = [fakeHost({ weight: 2 }), fakeHost({ weight: 1 })]
  const robin = new RoundRobinPicker(new SeededRandom(1))
  robin.update(hosts)
  assert.equal(tally(3, () => robin.pick()).get(hosts[0]!), 2)
  robin.update([hosts[0]!])
  assert.equal(robin.pick(), hosts[0])
  robin.update([])
  assert.equal(robin.pick(), undefined)
})

test('the largest weights Envoy allows are counted without loss', () => {
  const { hosts, robin } = picker([4294967295, 4294967294])
  const counts = tally(1000, () => robin.pick())
  assert.deepEqual([...counts.values()].sort(), [500, 500])
  assert.equal(counts.size, hosts.length)
})

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b)
}
