import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { SystemDnsResolver } from '../../../sidecar/cluster/dns-resolver.ts'
import { type LookupFamily, type ResolverSettings, systemResolver } from '../../../sidecar/cluster/dns-settings.ts'
import { FileSystemNames, parseHosts, parseResolvConf } from '../../../sidecar/cluster/system-names.ts'
import { temporaryFile } from '../../kit/proxy-process.ts'
import { FakeDns } from './fake-dns.ts'

function names(hosts = '', resolvConf = ''): FileSystemNames {
  return new FileSystemNames(temporaryFile('hosts', hosts), temporaryFile('resolv.conf', resolvConf))
}

function resolver(dns: FakeDns, options: Partial<ResolverSettings> = {}, files = names()): SystemDnsResolver {
  const servers = [`127.0.0.1:${dns.port}`]
  return new SystemDnsResolver({ ...systemResolver, servers, queryTimeoutMs: 200, queryTries: 1, ...options }, files)
}

const BOTH = { addresses: ['10.0.0.1', '10.0.0.2', 'fd00::1'], ttl: 30 }

const families: readonly (readonly [LookupFamily, readonly string[], readonly string[]])[] = [
  ['AUTO', ['fd00::1'], ['AAAA both.test']],
  ['V4_ONLY', ['10.0.0.1', '10.0.0.2'], ['A both.test']],
  ['V6_ONLY', ['fd00::1'], ['AAAA both.test']],
  ['V4_PREFERRED', ['10.0.0.1', '10.0.0.2'], ['A both.test']],
  ['ALL', ['fd00::1', '10.0.0.1', '10.0.0.2'], ['A both.test', 'AAAA both.test']],
]
for (const [family, addresses, queries] of families) {
  test(`${family} asks for ${queries.join(' and ')} where a name has both kinds`, async () => {
    await using dns = await FakeDns.start({ 'both.test': BOTH })
    const answer = await resolver(dns).resolve('both.test', family)
    assert.deepEqual(answer, { addresses, ttlMs: 30_000, failure: undefined })
    assert.deepEqual(dns.queries.sort(), queries)
  })
}

test('AUTO falls back to IPv4, and V4_PREFERRED to IPv6', async () => {
  await using dns = await FakeDns.start({
    'four.test': { addresses: ['10.0.0.1'] },
    'six.test': { addresses: ['fd00::1'] },
  })
  assert.deepEqual((await resolver(dns).resolve('four.test', 'AUTO')).addresses, ['10.0.0.1'])
  assert.deepEqual((await resolver(dns).resolve('six.test', 'V4_PREFERRED')).addresses, ['fd00::1'])
  assert.equal((await resolver(dns).resolve('six.test', 'V4_ONLY')).failure, 'NODATA')
})

test('failures say what was wrong', async () => {
  await using dns = await FakeDns.start({
    'bad.test': 'SERVFAIL',
    'no.test': 'REFUSED',
    'deaf.test': 'silence',
    'empty.test': { addresses: [] },
  })
  const asked = async (name: string) => (await resolver(dns).resolve(name, 'V4_ONLY')).failure
  assert.equal(await asked('bad.test'), 'SERVFAIL')
  assert.equal(await asked('no.test'), 'REFUSED')
  assert.equal(await asked('deaf.test'), 'timeout')
  assert.equal(await asked('empty.test'), 'NODATA')
  assert.equal(await asked('unknown.test'), 'NXDOMAIN')
})

test('a server that is not there is a failure, not an answer', async () => {
  let port: number
  {
    await using dns = await FakeDns.start()
    port = dns.port
  }
  const lonely = new SystemDnsResolver(
    { ...systemResolver, servers: [`127.0.0.1:${port}`], queryTimeoutMs: 200, queryTries: 1 },
    names(),
  )
  assert.match((await lonely.resolve('a.test', 'V4_ONLY')).failure!, /^(unreachable|timeout)$/)
})

test('an address is its own answer', async () => {
  await using dns = await FakeDns.start()
  assert.deepEqual((await resolver(dns).resolve('10.1.2.3', 'AUTO')).addresses, ['10.1.2.3'])
  assert.deepEqual((await resolver(dns).resolve('::1', 'AUTO')).addresses, ['::1'])
  assert.deepEqual((await resolver(dns).resolve('::1', 'V4_ONLY')).addresses, [])
  assert.deepEqual(dns.queries, [])
})

test('the hosts file goes before the DNS, and is read again when it changes', async () => {
  await using dns = await FakeDns.start({ 'db.test': { addresses: ['10.0.0.9'] } })
  const hosts = temporaryFile('hosts', '10.0.0.1 db.test DB # the database\nfd00::1 db.test\n')
  const files = new FileSystemNames(hosts, temporaryFile('resolv.conf', ''))
  const made = resolver(dns, {}, files)
  assert.deepEqual((await made.resolve('db.test', 'V4_ONLY')).addresses, ['10.0.0.1'])
  assert.deepEqual((await made.resolve('db', 'V4_ONLY')).addresses, ['10.0.0.1'])
  assert.deepEqual((await made.resolve('db.test', 'ALL')).addresses, ['10.0.0.1', 'fd00::1'])
  assert.deepEqual(dns.queries, [])
  writeFileSync(hosts, '# nothing any more\n')
  assert.deepEqual((await made.resolve('db.test', 'V4_ONLY')).addresses, ['10.0.0.9'])
})

test('localhost never goes to a server', async () => {
  await using dns = await FakeDns.start({ localhost: { addresses: ['10.0.0.66'] } })
  assert.deepEqual((await resolver(dns).resolve('localhost', 'V4_ONLY')).addresses, ['127.0.0.1'])
  assert.deepEqual((await resolver(dns).resolve('app.localhost.', 'V6_ONLY')).addresses, ['::1'])
  assert.deepEqual(dns.queries, [])
})

const KUBERNETES = 'search ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1\n'

test('a short name is looked for along the search list first, a long one as it stands first', async () => {
  await using dns = await FakeDns.start({
    'b.other.svc.cluster.local': { addresses: ['10.0.0.1'] },
    'a.b.c.d.e.f': { addresses: ['10.0.0.2'] },
  })
  const made = resolver(dns, {}, names('', KUBERNETES))
  assert.deepEqual((await made.resolve('b.other', 'V4_ONLY')).addresses, ['10.0.0.1'])
  assert.deepEqual(dns.queries, ['A b.other.ns.svc.cluster.local', 'A b.other.svc.cluster.local'])
  dns.queries.length = 0
  assert.deepEqual((await made.resolve('a.b.c.d.e.f', 'V4_ONLY')).addresses, ['10.0.0.2'])
  assert.deepEqual(dns.queries, ['A a.b.c.d.e.f'])
})

test('a dot at the end, or no_default_search_domain, leaves the search list out', async () => {
  await using dns = await FakeDns.start({ b: { addresses: ['10.0.0.1'] } })
  const files = names('', KUBERNETES)
  assert.deepEqual((await resolver(dns, {}, files).resolve('b.', 'V4_ONLY')).addresses, ['10.0.0.1'])
  assert.deepEqual((await resolver(dns, { useSearchList: false }, files).resolve('b', 'V4_ONLY')).addresses, [
    '10.0.0.1',
  ])
  assert.deepEqual(dns.queries, ['A b', 'A b'])
})

test('a failure on the way along the search list counts more than the denials after it', async () => {
  await using dns = await FakeDns.start({ 'b.one.test': 'SERVFAIL' })
  const made = resolver(dns, {}, names('', 'search one.test two.test\n'))
  assert.equal((await made.resolve('b', 'V4_ONLY')).failure, 'SERVFAIL')
  assert.deepEqual(dns.queries, ['A b.one.test', 'A b.two.test', 'A b'])
})

test('the shortest TTL of an answer is that of the answer', async () => {
  await using dns = await FakeDns.start({ 'a.test': { addresses: ['10.0.0.1'], ttl: 7 } })
  assert.equal((await resolver(dns).resolve('a.test', 'V4_ONLY')).ttlMs, 7000)
})

test('hosts files and resolv.conf are read as the C library reads them', () => {
  assert.deepEqual(
    [...parseHosts('127.0.0.1\tlocalhost Me.\nnonsense x\n\n::1 localhost # loopback\n10.0.0.1 me me\n')],
    [
      ['localhost', ['127.0.0.1', '::1']],
      ['me', ['127.0.0.1', '10.0.0.1']],
    ],
  )
  assert.deepEqual(parseResolvConf('domain a.test\nsearch b.test. c.test ; why\noptions rotate ndots:99\n'), {
    suffixes: ['b.test', 'c.test'],
    ndots: 15,
  })
  assert.deepEqual(parseResolvConf(''), { suffixes: [], ndots: 1 })
})
