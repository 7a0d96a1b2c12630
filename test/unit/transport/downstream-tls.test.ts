import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError } from '../../../sidecar/config/config-error.ts'
import type { ClientHello } from '../../../sidecar/transport/tls/client-hello.ts'
import { certificateFor, checkNode } from '../../../sidecar/transport/tls/downstream-tls.ts'
import type { OwnCertificate } from '../../../sidecar/transport/tls/tls-context.ts'

test('this Node shows the socket below a TLS socket; one that does not is refused when a context is made', () => {
  checkNode()
  assert.throws(
    () => checkNode(() => undefined),
    (error: Error) => error instanceof ConfigError && /hides the socket below a TLS socket/.test(error.message),
  )
})

test('a certificate is chosen by name, then by the kind of key', () => {
  const certificate = (keyType: string, ...serverNames: string[]) =>
    ({ keyType, serverNames }) as unknown as OwnCertificate
  const first = certificate('ec', 'a.test')
  const rsa = certificate('rsa', 'a.test')
  const wild = certificate('rsa', '*.b.test')
  const all = [first, rsa, wild]
  const choose = (serverName: string, takesEcdsa: boolean, fullScan = false) =>
    certificateFor(all, { serverName, takesEcdsa } as ClientHello, fullScan)
  assert.equal(choose('a.test', true), first)
  assert.equal(choose('a.test', false), rsa)
  assert.equal(choose('x.b.test', true), wild)
  assert.equal(choose('other.test', false), first)
  assert.equal(choose('other.test', false, true), rsa)
  assert.equal(choose('', false), rsa)
})
