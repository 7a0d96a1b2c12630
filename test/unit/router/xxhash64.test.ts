import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import xxhash from 'xxhash-wasm'
import { xxHash64 } from '../../../sidecar/router/xxhash64.ts'

test('XXH64 is that of xxhash-wasm', async () => {
  const { h64Raw } = await xxhash()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      assert.equal(xxHash64(Buffer.from(bytes).toString('latin1')), h64Raw(bytes))
    }),
    { numRuns: 2000 },
  )
  assert.equal(xxHash64(''), 0xef46db3751d8e999n)
})
