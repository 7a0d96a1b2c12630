import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { LeastRequestPicker } from '../../../sidecar/load-balancer/least-request.ts'
import { random } from '../../../sidecar/load-balancer/random.ts'
import { ANY, fakeHost, fakeHosts, tally } from './fake-host.ts'

const settings = { choiceCount: 2, activeRequestBias: 1, fullScan: false }

test('of two hosts the busier one is chosen only when both draws fall on it', () => {
  const [idle, busy] = fakeHosts(2) as [ReturnType<typeof fakeHost>, ReturnType<typeof fakeHost>]
  busy.stats.rqActive.set(10)
  const picker = new LeastRequestPicker(settings, new SeededRandom(1))
  picker.update([idle, busy])
  const counts = tally(10_000, () => picker.pick())
  assert.ok(Math.abs(counts.get(busy)! - 2500) < 150, `${counts.get(busy)} of 10000`)
})

test('a higher choice_count finds the idle host more often', () => {
  const hosts = fakeHosts(4)
  for (const host of hosts.slice(1)) host.stats.rqActive.set(5)
  const picker = new LeastRequestPicker({ ...settings, choiceCount: 10 }, new SeededRandom(1))
  picker.update(hosts)
  const share = tally(10_000, () => picker.pick()).get(hosts[0]!)! / 10_000
  assert.ok(Math.abs(share - (1 - 0.75 ** 10)) < 0.02, String(share))
})

test('a full scan always takes the host with the fewest requests, and all equals alike', () => {
  const hosts = fakeHosts(3)
  hosts[0]!.stats.rqActive.set(1)
  const picker = new LeastRequestPicker({ ...settings, fullScan: true }, new SeededRandom(1))
  picker.update(hosts)
  const counts = tally(10_000, () => picker.pick())
  assert.equal(counts.get(hosts[0]!), undefined)
  assert.ok(Math.abs(counts.get(hosts[1]!)! - 5000) < 300)
})

test('with weights, idle hosts share by weight and a busy one gets its weight divided by its requests', () => {
  const hosts = [fakeHost({ weight: 3 }), fakeHost({ weight: 1 })]
  const picker = new LeastRequestPicker(settings, new SeededRandom(1))
  picker.update(hosts)
  assert.ok(Math.abs(tally(400, () => picker.pick()).get(hosts[0]!)! - 300) <= 1)
  hosts[0]!.stats.rqActive.set(2)
  assert.ok(Math.abs(tally(400, () => picker.pick()).get(hosts[0]!)! - 200) <= 2)
})

test('active_request_bias 0 makes weighted least request weighted round robin', () => {
  const hosts = [fakeHost({ weight: 3 }), fakeHost({ weight: 1 })]
  const picker = new LeastRequestPicker({ ...settings, activeRequestBias: 0 }, new SeededRandom(1))
  hosts[0]!.stats.rqActive.set(100)
  picker.update(hosts)
  assert.ok(Math.abs(tally(400, () => picker.pick()).get(hosts[0]!)! - 300) <= 1)
})

test('random chooses every host alike and looks at no weight', () => {
  const hosts = [fakeHost({ weight: 100 }), fakeHost({ weight: 1 })]
  const picker = random.fromMessage({}).createPicker(new SeededRandom(7))
  picker.update(hosts)
  assert.ok(Math.abs(tally(10_000, () => picker.pick(ANY)).get(hosts[0]!)! - 5000) < 200)
  picker.update([])
  assert.equal(picker.pick(ANY), undefined)
})
