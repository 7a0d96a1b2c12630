import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import type { LoadBalancerContext } from '../../../sidecar/load-balancer/policy.ts'
import { type BalancerSettings, PriorityBalancer } from '../../../sidecar/load-balancer/priority-balancer.ts'
import { roundRobin } from '../../../sidecar/load-balancer/round-robin.ts'
import { Counter } from '../../../sidecar/observability/stats.ts'
import { HostHealth } from '../../../sidecar/upstream/host.ts'
import type { RunningHost } from '../../../sidecar/upstream/running-host.ts'
import { ANY, fakeHost, fakeHosts, tally } from './fake-host.ts'

const panics = () => new Counter('lb_healthy_panic')
const plain: BalancerSettings = { panicThresholdPercent: 50, localityWeighted: false }

function balancer(levels: readonly (readonly RunningHost[])[], settings = plain, counter = panics()) {
  const made = new PriorityBalancer(roundRobin.fromMessage({}), settings, new SeededRandom(3), counter)
  made.update(levels.map(hosts => ({ hosts, overprovisioningFactor: 140 })))
  return made
}

function update(made: PriorityBalancer, ...levels: readonly (readonly RunningHost[])[]): void {
  made.update(levels.map(hosts => ({ hosts, overprovisioningFactor: 140 })))
}

test('an unhealthy host gets nothing while enough others are healthy', () => {
  const hosts = [...fakeHosts(3), fakeHost({ health: 'FailedOutlierCheck' })]
  const made = balancer([hosts])
  const counts = tally(300, pick(made))
  assert.deepEqual(
    hosts.map(host => counts.get(host)),
    [100, 100, 100, undefined],
  )
})

test('below the panic threshold all hosts are used, and every such choice is counted', () => {
  const hosts = [fakeHost(), fakeHost({ health: 'FailedOutlierCheck' }), fakeHost({ health: 'FailedEds' })]
  const counter = panics()
  const made = balancer([hosts], plain, counter)
  assert.equal(tally(300, () => made.chooseHost(ANY)).size, 3)
  assert.equal(counter.value, 300)
  assert.equal(made.panicking, true)
})

test('with the panic threshold off a cluster without healthy hosts has none', () => {
  const made = balancer([fakeHosts(2, { health: 'FailedEds' })], { ...plain, panicThresholdPercent: 0 })
  assert.equal(made.chooseHost(ANY), undefined)
})

test('a cluster with one host chooses it without any decision; once it is ejected, in panic', () => {
  const [host] = fakeHosts(1) as [RunningHost]
  const counter = panics()
  const made = balancer([[host]], plain, counter)
  assert.equal(made.chooseHost(ANY), host)
  assert.equal(counter.value, 0)
  host.health |= HostHealth.FailedOutlierCheck
  update(made, [host])
  assert.equal(made.chooseHost(ANY), host)
  assert.equal(counter.value, 1)
})

test('a cluster without hosts chooses none', () => {
  assert.equal(balancer([[]]).chooseHost(ANY), undefined)
  assert.equal(balancer([]).chooseHost(ANY), undefined)
})

test('the second priority gets what the first cannot take', () => {
  const first = [fakeHost(), fakeHost({ health: 'FailedEds' })]
  const second = fakeHosts(2)
  const made = balancer([first, second])
  const counts = tally(10_000, () => made.chooseHost(ANY))
  assert.ok(Math.abs(counts.get(first[0]!)! - 7000) < 200, `${counts.get(first[0]!)}`)
  assert.equal(counts.get(first[1]!), undefined)
})

test('degraded hosts are used only when healthy ones do not suffice', () => {
  const healthy = fakeHosts(3)
  const degraded = fakeHost({ health: 'Degraded' })
  assert.equal(tally(300, pick(balancer([[...healthy, degraded]]))).get(degraded), undefined)
  const made = balancer([[healthy[0]!, degraded]])
  const counts = tally(10_000, pick(made))
  assert.ok(Math.abs(counts.get(degraded)! - 3000) < 200, `${counts.get(degraded)}`)
})

test('localities share by weight, and one that lost most of its hosts gives traffic away', () => {
  const a = fakeHosts(2, { zone: 'a', localityWeight: 1 })
  const b = fakeHosts(2, { zone: 'b', localityWeight: 3 })
  const made = balancer([[...a, ...b]], { ...plain, localityWeighted: true })
  const shareOfB = () => tally(400, pick(made))
  const before = shareOfB()
  assert.equal(before.get(b[0]!)! + before.get(b[1]!)!, 300)
  b[1]!.health |= HostHealth.FailedOutlierCheck
  update(made, [...a, ...b])
  // Half of the hosts, times 1.4, is 0.7 of weight 3: 2.1 against 1.
  assert.ok(Math.abs(shareOfB().get(b[0]!)! - (400 * 2.1) / 3.1) <= 2)
})

test('weights of localities do not count where they are not asked for', () => {
  const a = fakeHosts(1, { zone: 'a', localityWeight: 1 })
  const b = fakeHosts(1, { zone: 'b', localityWeight: 3 })
  const made = balancer([[...a, ...b]])
  assert.equal(tally(400, pick(made)).get(a[0]!), 200)
})

test('a retry asks again for a host that was not tried, as often as it may, and takes the last one', () => {
  const hosts = fakeHosts(2)
  const made = balancer([hosts])
  let asked = 0
  const avoiding = (avoid: RunningHost[], hostSelectionMaxAttempts: number): LoadBalancerContext => ({
    ...ANY,
    hostSelectionMaxAttempts,
    shouldSelectAnotherHost: host => {
      asked++
      return avoid.includes(host as RunningHost)
    },
  })
  for (let i = 0; i < 10; i++) assert.equal(made.chooseHost(avoiding([hosts[0]!], 3)), hosts[1])
  asked = 0
  assert.notEqual(made.chooseHost(avoiding(hosts, 3)), undefined)
  assert.equal(asked, 4)
})

function pick(made: PriorityBalancer): () => unknown {
  return () => made.chooseHost(ANY)
}
