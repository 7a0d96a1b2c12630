import assert from 'node:assert/strict'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { test } from 'node:test'

test('where the kernel does not tell the addresses of the machine, its own is loopback', async t => {
  t.mock.method(os, 'networkInterfaces', () => {
    throw new Error('uv_interface_addresses returned EAFNOSUPPORT')
  })
  syncBuiltinESMExports()
  const { ownIp } = await import('../../../sidecar/base/own-address.ts')
  assert.equal(ownIp(), '127.0.0.1')
})
