/**
 * What a listener's own fields make of its sockets and connections: the same is asked of Envoy and of Hopwise, and of the
 * kernel about both.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { after, before, test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw, TestClient } from '../kit/http-client.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { type Json, router, typed } from './scenarios/bootstrap.ts'

const NAMES = ['silent', 'probing', 'probing2', 'off', 'six', 'both', 'plain', 'modify', 'admin'] as const
type Ports = Readonly<Record<(typeof NAMES)[number], number>>

interface Started {
  readonly proxy: ProxyProcess
  readonly ports: Ports
}

let upstream: FakeUpstream
const sides: Started[] = []

before(async () => {
  upstream = await FakeUpstream.start()
  for (const start of [startEnvoy, startHopwise]) {
    const free = await freePorts(NAMES.length)
    const ports = Object.fromEntries(NAMES.map((name, i) => [name, free[i]!])) as Ports
    const yaml = `static_resources: ${JSON.stringify(resources(ports))}\n`
    sides.push({ proxy: await start(yaml, { adminPort: ports.admin }), ports })
  }
})
after(async () => {
  for (const { proxy } of sides) await proxy.stop('SIGKILL')
  await upstream?.close()
})

function resources(ports: Ports): Json {
  const at = (port: number, address = '127.0.0.1', fields = {}) => ({
    socket_address: { address, port_value: port, ...fields },
  })
  const to = (cluster: string): Json => {
    const routes = [{ match: { prefix: '/' }, route: { cluster } }]
    return [
      {
        name: 'http',
        typed_config: typed('network.http_connection_manager.v3.HttpConnectionManager', {
          stat_prefix: 'm',
          route_config: {
            virtual_hosts: [{ name: 'v', domains: ['*'], routes }],
            response_headers_to_add: [{ header: { key: 'from', value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' } }],
          },
          http_filters: [router],
        }),
      },
    ]
  }
  const listener = (name: keyof Ports, fields: { readonly [key: string]: Json } = {}, cluster = 'plain'): Json => ({
    name,
    address: at(ports[name]),
    filter_chains: [{ filters: to(cluster) }],
    ...fields,
  })
  const cluster = (name: string, fields = {}): Json => ({
    name,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: at(upstream.port) } }] }],
    },
    ...fields,
  })
  const keepalive = (seconds: number) => ({ keepalive_time: seconds, keepalive_interval: 7, keepalive_probes: 3 })
  return {
    listeners: [
      listener('silent'),
      listener(
        'probing',
        {
          tcp_keepalive: keepalive(1000),
          additional_addresses: [{ address: at(ports.probing2), tcp_keepalive: keepalive(2000) }],
        },
        'probing',
      ),
      listener('off', { tcp_keepalive: { keepalive_time: 1000, keepalive_probes: 0 } }, 'off'),
      listener('six', { address: at(ports.six, '::') }),
      listener('both', { address: at(ports.both, '::', { ipv4_compat: true }) }),
      listener('plain'),
      listener('modify', { drain_type: 'MODIFY_ONLY' }),
    ],
    clusters: [
      cluster('plain'),
      cluster('probing', { upstream_connection_options: { tcp_keepalive: keepalive(3000) } }),
      cluster('off', { upstream_connection_options: { tcp_keepalive: { keepalive_interval: 0 } } }),
    ],
  }
}

/**
 * Seconds until the kernel's next keep-alive probe, of the established IPv4 connections whose own port (or their peer's) is
 * that one: the timer of kind 2 (proc_net_tcp.txt), in hundredths of a second. 0 where no probe is due.
 */
function keepAliveTimers(port: number, end: 'local' | 'remote'): number[] {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(([, local, remote, state]) => state === '01' && (end === 'local' ? local : remote)?.endsWith(hex))
    .map(fields => {
      const [kind, when] = fields[5]!.split(':')
      return kind === '02' ? Number.parseInt(when!, 16) / 100 : 0
    })
}

/** What is left of the time says what the configuration said, but for the moments since. */
function configured(left: number): number {
  return Math.ceil(left / 10) * 10
}

for (const [name, seconds] of [
  ['silent', 0],
  ['probing', 1000],
  ['probing2', 2000],
  ['off', 0],
] as const) {
  test(`tcp_keepalive of listener ${name} reaches the kernel`, async () => {
    for (const { proxy, ports } of sides) {
      const client = await TestClient.connect(ports[name])
      await client.request({ path: '/' })
      assert.deepEqual(keepAliveTimers(ports[name], 'local').map(configured), [seconds], proxy.process.name)
      client.close()
    }
  })
}

test('tcp_keepalive of a cluster reaches the kernel', async () => {
  for (const { proxy, ports } of sides) {
    for (const [name, seconds] of [
      ['probing', 3000],
      ['off', 0],
    ] as const) {
      upstream.dropConnections()
      await fetchRaw(ports[name], { path: '/' })
      const timers = keepAliveTimers(upstream.port, 'remote').map(configured)
      assert.deepEqual(
        new Set(timers.filter(left => left > 0)),
        new Set(seconds === 0 ? [] : [seconds]),
        proxy.process.name,
      )
    }
  }
})

test('an IPv6 listener takes IPv4 connections only with ipv4_compat, and shows their peers as what they are', async () => {
  const answers = await Promise.all(
    sides.map(async ({ ports }) => {
      const results: string[] = []
      for (const name of ['six', 'both'] as const) {
        for (const host of ['127.0.0.1', '::1']) results.push(`${name} ${host} ${await ask(host, ports[name])}`)
      }
      return results
    }),
  )
  const [theirs, ours] = answers
  assert.deepEqual(theirs, ['six 127.0.0.1 refused', 'six ::1 ::1', 'both 127.0.0.1 127.0.0.1', 'both ::1 ::1'])
  assert.deepEqual(ours, theirs)
})

/** The peer's address as the proxy saw it, or `refused`. */
function ask(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host, () => socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'))
    let text = ''
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
    })
    socket.on('end', () => resolve(/^from: (.*)\r$/m.exec(text)?.[1] ?? text))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNREFUSED' ? resolve('refused') : reject(error),
    )
  })
}

test('a failed health check ends no connection of a listener with drain_type MODIFY_ONLY', async () => {
  const seen = await Promise.all(
    sides.map(async ({ proxy, ports }) => {
      await proxy.admin('/healthcheck/fail', 'POST')
      const plain = await fetchRaw(ports.plain, { path: '/' })
      const modify = await fetchRaw(ports.modify, { path: '/' })
      await proxy.admin('/healthcheck/ok', 'POST')
      return [plain.header('connection'), modify.header('connection')]
    }),
  )
  assert.deepEqual(seen[0], ['close', undefined])
  assert.deepEqual(seen[1], seen[0])
})
