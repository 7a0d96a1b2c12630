/** Every stat that Envoy lists after one request is listed here too, under the same name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { bootstrap, cluster, httpListener } from './scenarios/bootstrap.ts'

/** What Hopwise has not, and why. An entry that names nothing any more fails. */
const NOT_HERE: readonly (readonly [RegExp, string])[] = [
  [/watchdog/, 'Node watches its own event loop'],
  [/^http\.async-client\./, 'calls of our own go to clusters directly, without a router and its routes'],
  [/^thread_local_cluster_manager\./, 'clusters are small until they are used'],
  [/^listener\.admin\.main_thread\./, 'the admin listener counts under worker_0'],
  [/^envoy\.overload_actions\.|^overload\./, 'there is no overload manager yet'],
  [/^listener_manager\.workers_pinned$/, 'Node cannot pin threads'],
  [/^server\.stats_recent_lookups$/, 'there is no table of symbols whose lookups could be counted'],
]

test('the names of the stats are those of Envoy', async () => {
  await using upstream = await FakeUpstream.start()
  const namesOf = async (start: typeof startEnvoy) => {
    const [listen, admin] = await freePorts(2)
    const yaml = bootstrap({
      listeners: [httpListener({ name: 'main' })],
      clusters: [cluster('app', String(upstream.port))],
    })
      .replaceAll('{{listen:main}}', String(listen))
      .replaceAll('{{admin}}', String(admin))
      .replaceAll('{{log}}', '/dev/null')
    await using proxy = await start(yaml, { adminPort: admin! })
    await fetchRaw(listen!)
    const lines = (await proxy.admin('/stats')).split('\n').filter(line => line !== '')
    return new Set(lines.map(line => line.slice(0, line.lastIndexOf(': ')).replace(String(listen), '<port>')))
  }
  const envoy = await namesOf(startEnvoy)
  const hopwise = await namesOf(startHopwise)
  const histogramsAside = (name: string) => !name.includes(': ')
  const missing = [...envoy].filter(name => histogramsAside(name) && !hopwise.has(name))
  assert.deepEqual(
    missing.filter(name => !NOT_HERE.some(([pattern]) => pattern.test(name))),
    [],
  )
  const unused = NOT_HERE.filter(([pattern]) => !missing.some(name => pattern.test(name)))
  assert.deepEqual(unused, [])
})
