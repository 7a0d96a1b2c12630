import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TlsParameters } from '../../../sidecar/config/schema/generated/types.ts'
import { tlsOptions } from '../../../sidecar/transport/tls/tls-params.ts'

const ciphersOf = (cipherSuites: string[], offered: number[] = []) =>
  tlsOptions({ cipherSuites } as unknown as TlsParameters, 'downstream', {
    ciphers: offered,
    offersTls13: false,
    decides: false,
  })
    .ciphers.split(':')
    .filter(name => !name.startsWith('TLS_'))

test('IANA’s names of ciphers become those of OpenSSL', () => {
  const names = {
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: 'ECDHE-RSA-AES128-SHA256',
    TLS_RSA_WITH_AES_128_GCM_SHA256: 'AES128-GCM-SHA256',
    TLS_RSA_WITH_AES_256_CBC_SHA: 'AES256-SHA',
  }
  assert.deepEqual(ciphersOf(Object.keys(names)), Object.values(names))
})

test('of ciphers of one rank the one that the client offers first leads; the ranks keep their order', () => {
  const suites = ['AES256-SHA', '[AES128-SHA|AES128-GCM-SHA256|AES256-GCM-SHA384]', 'ECDHE-RSA-AES128-SHA']
  const inRank = (...offered: number[]) => ciphersOf(suites, offered).slice(1, -1)
  assert.deepEqual(inRank(0xc013, 0x9d, 0x2f), ['AES256-GCM-SHA384', 'AES128-SHA', 'AES128-GCM-SHA256'])
  assert.deepEqual(inRank(0xc013), ['AES128-SHA', 'AES128-GCM-SHA256', 'AES256-GCM-SHA384'])
  assert.deepEqual(
    [ciphersOf(suites, [0x9d]).at(0), ciphersOf(suites, [0x9d]).at(-1)],
    ['AES256-SHA', 'ECDHE-RSA-AES128-SHA'],
  )
})
