import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'
import { distinguishedName, dnsNameMatch, namesOf } from '../../../sidecar/transport/tls/peer-certificate.ts'

const authority = new CertificateAuthority('test')

test('alternative names come out by kind and in order, whatever is in them', () => {
  const { der } = authority.issue({
    uris: ['spiffe://td/a, DNS:evil.test', 'spiffe://td/"b"'],
    dns: ['a.test', 'b.test'],
    ips: ['10.0.0.7', '2001:db8::1', '::'],
    emails: ['x@y'],
  })
  const names = namesOf(der)
  assert.deepEqual(names.uris, ['spiffe://td/a, DNS:evil.test', 'spiffe://td/"b"'])
  assert.deepEqual(names.dns, ['a.test', 'b.test'])
  assert.deepEqual(names.ips, ['10.0.0.7', '2001:db8::1', '::'])
  assert.deepEqual(names.emails, ['x@y'])
})

test('a certificate without names, or cut short, has none', () => {
  const { der } = authority.issue({})
  assert.deepEqual(namesOf(der).sans, [])
  const named = authority.issue({ dns: ['a.test'] }).der
  for (let end = 0; end < named.length; end++) assert.ok(namesOf(named.subarray(0, end)).sans.length <= 1)
})

test('a subject reads as RFC 2253 has it, last part first, bytes beyond ASCII escaped', () => {
  const { certificate } = authority.issue({ subject: { C: 'DE', O: 'org, "x" inc', CN: 'cliént' } })
  assert.equal(
    distinguishedName(new X509Certificate(certificate).subject),
    'CN=cli\\C3\\A9nt,O=org\\, \\"x\\" inc,C=DE',
  )
  assert.equal(distinguishedName(undefined), '')
})

test('wildcards of a certificate stand for one label, whole or in part, and never in another script', () => {
  const cases: [name: string, pattern: string, matches: boolean][] = [
    ['a.example.com', 'A.Example.com', true],
    ['a.example.com', '*.example.com', true],
    ['a.b.example.com', '*.example.com', false],
    ['example.com', '*.example.com', false],
    ['foo1.example.com', 'foo*.example.com', true],
    ['1foo.example.com', '*foo.example.com', true],
    ['f1oo.example.com', 'f*oo.example.com', true],
    ['f.example.com', 'f*oo.example.com', false],
    ['xn--foo.example.com', 'xn--*.example.com', false],
    ['a.b.com', 'a.*.com', false],
    ['a.example.com', '*.*.com', false],
    ['.example.com', '*.example.com', false],
  ]
  for (const [name, pattern, matches] of cases) assert.equal(dnsNameMatch(name, pattern), matches, `${name} ${pattern}`)
})
