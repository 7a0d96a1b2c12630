import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeIdentities, PARTNER, SITE } from '../../../demo-services/make-identities.ts'
import { temporaryFolder } from '../../kit/proxy-process.ts'

const certificate = (folder: string, name: string) => new X509Certificate(readFileSync(join(folder, name)))

test('services get an identity of one authority, the edge and the partner a name of others', () => {
  const folder = temporaryFolder()
  assert.equal(makeIdentities(folder), true)
  const mesh = certificate(folder, 'a/ca.pem')
  for (const service of ['front', 'a', 'b', 'c', 'd', 'traffic']) {
    const own = certificate(folder, `${service}/chain.pem`)
    assert.match(own.subjectAltName ?? '', new RegExp(`URI:spiffe://demo/${service}(,|$)`))
    assert.ok(own.verify(mesh.publicKey), service)
    assert.ok(own.checkPrivateKey(createPrivateKey(readFileSync(join(folder, `${service}/key.pem`)))))
    assert.equal(statSync(join(folder, `${service}/key.pem`)).mode & 0o777, 0o400)
  }
  const site = certificate(folder, 'front/site-chain.pem')
  assert.equal(site.checkHost(SITE), SITE)
  assert.ok(site.verify(certificate(folder, 'traffic/site-ca.pem').publicKey))
  const partner = certificate(folder, 'outside/chain.pem')
  assert.equal(partner.checkHost(PARTNER), PARTNER)
  assert.ok(partner.verify(certificate(folder, 'c/partner-ca.pem').publicKey))
  assert.equal(partner.verify(mesh.publicKey), false)
})

test('what is whole is kept, because others hold it already; what is not is made anew, all of it', () => {
  const folder = temporaryFolder()
  makeIdentities(folder)
  const before = readFileSync(join(folder, 'a/chain.pem'), 'utf8')
  assert.equal(makeIdentities(folder), false)
  assert.equal(readFileSync(join(folder, 'a/chain.pem'), 'utf8'), before)
  rmSync(join(folder, 'c/key.pem'))
  assert.equal(makeIdentities(folder), true)
  assert.notEqual(readFileSync(join(folder, 'a/chain.pem'), 'utf8'), before)
})
