import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HpackDecoder } from '../../../../sidecar/codec/http2/hpack/decoder.ts'
import { HpackEncoder } from '../../../../sidecar/codec/http2/hpack/encoder.ts'

function decode(decoder: HpackDecoder, hex: string): string[] {
  const bytes = Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
  const fields: string[] = []
  const receiver = {
    onField: (name: { name: string }, value: string) => {
      fields.push(`${name.name}: ${value}`)
    },
  }
  assert.ok(decoder.decode(bytes, 0, bytes.length, receiver), decoder.problem)
  return fields
}

function refuses(decoder: HpackDecoder, hex: string, problem: RegExp): void {
  const bytes = Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
  assert.equal(decoder.decode(bytes, 0, bytes.length, { onField() {} }), false)
  assert.match(decoder.problem, problem)
}

function encode(encoder: HpackEncoder, fields: readonly (readonly [string, string])[]): Buffer {
  encoder.begin(Buffer.alloc(16), 0)
  for (const [name, value] of fields) encoder.field(name, value)
  return encoder.buffer.subarray(0, encoder.at)
}

test('RFC 7541 C.2: single fields', () => {
  const custom = '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'
  const decoder = new HpackDecoder(4096)
  assert.deepEqual(decode(decoder, custom), ['custom-key: custom-header'])
  assert.equal(decoder.tableSize, 55)
  assert.deepEqual(decode(new HpackDecoder(4096), '040c 2f73 616d 706c 652f 7061 7468'), [':path: /sample/path'])
  const secret = new HpackDecoder(4096)
  assert.deepEqual(decode(secret, '1008 7061 7373 776f 7264 0673 6563 7265 74'), ['password: secret'])
  assert.equal(secret.tableSize, 0)
  assert.deepEqual(decode(new HpackDecoder(4096), '82'), [':method: GET'])
})

const REQUESTS: readonly (readonly [fields: readonly string[], tableSize: number])[] = [
  [[':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'], 57],
  [[':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'], 110],
  [
    [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value'],
    164,
  ],
]

for (const [name, blocks] of [
  [
    'RFC 7541 C.3: requests without Huffman coding',
    [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  ],
  [
    'RFC 7541 C.4: requests with Huffman coding',
    [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  ],
] as const) {
  test(name, () => {
    const decoder = new HpackDecoder(4096)
    for (const [i, [fields, tableSize]] of REQUESTS.entries()) {
      assert.deepEqual(decode(decoder, blocks[i]!), fields)
      assert.equal(decoder.tableSize, tableSize)
    }
  })
}

const COOKIE = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'
const RESPONSES: readonly (readonly [fields: readonly string[], tableSize: number])[] = [
  [
    [
      ':status: 302',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:21 GMT',
      'location: https://www.example.com',
    ],
    222,
  ],
  [
    [
      ':status: 307',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:21 GMT',
      'location: https://www.example.com',
    ],
    222,
  ],
  [
    [
      ':status: 200',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:22 GMT',
      'location: https://www.example.com',
      'content-encoding: gzip',
      `set-cookie: ${COOKIE}`,
    ],
    215,
  ],
]

for (const [name, blocks] of [
  [
    'RFC 7541 C.5: responses without Huffman coding, evicting from a table of 256 octets',
    [
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
       546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      '4803 3330 37c1 c0bf',
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
       6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
       2076 6572 7369 6f6e 3d31`,
    ],
  ],
  [
    'RFC 7541 C.6: responses with Huffman coding, evicting from a table of 256 octets',
    [
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
       8f0b 97c8 e9ae 82ae 43d3`,
      '4883 640e ffc1 c0bf',
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
       dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ],
  ],
] as const) {
  test(name, () => {
    const decoder = new HpackDecoder(4096)
    // The table is 256 octets from the start: the size update that would say so.
    decode(decoder, '3fe1 01')
    for (const [i, [fields, tableSize]] of RESPONSES.entries()) {
      assert.deepEqual(decode(decoder, blocks[i]!), fields)
      assert.equal(decoder.tableSize, tableSize)
    }
  })
}

test('blocks that break the rules are refused, each for its reason', () => {
  const fresh = () => new HpackDecoder(4096)
  refuses(fresh(), '80', /index/)
  refuses(fresh(), 'be', /index/)
  refuses(fresh(), '7f00 01 61', /index/)
  refuses(fresh(), 'ff', /integer/)
  refuses(fresh(), 'ffff ffff ffff ffff ff7f', /integer/)
  refuses(fresh(), '40', /cut off/)
  refuses(fresh(), '4001 61', /cut off/)
  refuses(fresh(), '400a 61', /cut off/)
  refuses(fresh(), '82 20', /size update/)
  refuses(fresh(), '3fe2 1f', /larger than allowed/)
  // Huffman: EOS in the string; padding of 8 bits; padding that is not all ones.
  refuses(fresh(), '0001 6184 ffff ffff', /Huffman/)
  refuses(fresh(), '0001 6182 1fff', /Huffman/)
  refuses(fresh(), '0001 6181 18', /Huffman/)
})

test('after the limit sank the peer must say that it uses less', () => {
  const decoder = new HpackDecoder(0)
  decode(decoder, '4001 6101 62')
  decoder.setLimit(0)
  refuses(decoder, '82', /size update/)
  const obedient = new HpackDecoder(0)
  decode(obedient, '4001 6101 62')
  obedient.setLimit(0)
  assert.deepEqual(decode(obedient, '20 82'), [':method: GET'])
  assert.equal(obedient.tableSize, 0)
})

test('an entry larger than the table empties it', () => {
  const decoder = new HpackDecoder(4096)
  decode(decoder, '3f21 4001 6101 62')
  assert.equal(decoder.tableSize, 34)
  decode(decoder, `4001 6120 ${'62'.repeat(32)}`)
  assert.equal(decoder.tableSize, 0)
})

test('what is encoded is decoded to the same, and repeating costs a byte each from the third time on', () => {
  const encoder = new HpackEncoder(4096)
  const decoder = new HpackDecoder(4096)
  const fields = [
    [':method', 'PATCH'],
    [':path', '/a/b?c=d'],
    [':authority', 'items.default.svc:8080'],
    ['x-empty', ''],
    ['x-long', 'l'.repeat(300)],
    ['accept-encoding', 'gzip, deflate'],
    ['x-latin', 'caf\xe9'],
  ] as const
  const lengths: number[] = []
  for (let round = 0; round < 4; round++) {
    const block = encode(encoder, fields)
    assert.deepEqual(
      decode(decoder, block.toString('hex')),
      fields.map(([name, value]) => `${name}: ${value}`),
    )
    lengths.push(block.length)
  }
  assert.equal(lengths[2], fields.length)
  assert.equal(lengths[3], fields.length)
})

test('a value that changes with every message is never indexed, and pushes nothing out', () => {
  const encoder = new HpackEncoder(4096)
  for (let i = 0; i < 1000; i++) encode(encoder, [['x-request-id', `id-${i}`]])
  assert.equal(encoder.tableSize, 0)
})

test('secrets are never indexed, and say so to the next hop', () => {
  const encoder = new HpackEncoder(4096)
  for (let i = 0; i < 3; i++) {
    assert.equal(encode(encoder, [['authorization', 'Bearer x']])[0], 0x1f)
    assert.equal(encode(encoder, [['cookie', 'a=b']])[0], 0x1f)
  }
  assert.equal(encoder.tableSize, 0)
})

test('a table that the peer shrinks is evicted and said to be smaller', () => {
  const encoder = new HpackEncoder(4096)
  const decoder = new HpackDecoder(4096)
  const fields = [['x-one', 'value of one']] as const
  for (let i = 0; i < 3; i++) decode(decoder, encode(encoder, fields).toString('hex'))
  encoder.setPeerLimit(0)
  encoder.setPeerLimit(100)
  assert.equal(encoder.tableSize, 0)
  const block = encode(encoder, fields)
  assert.equal(block.subarray(0, 3).toString('hex'), '203f45')
  assert.deepEqual(decode(decoder, block.toString('hex')), ['x-one: value of one'])
})

test('many values of one name: those evicted are not referred to', () => {
  const encoder = new HpackEncoder(256)
  const decoder = new HpackDecoder(256)
  for (let i = 0; i < 2000; i++) {
    const value = `value ${(i * 7919) % 13}`
    const fields = [
      ['x-a', value],
      ['x-a', value],
      [`x-${i % 5}`, 'same'],
    ] as const
    assert.deepEqual(
      decode(decoder, encode(encoder, fields).toString('hex')),
      fields.map(([name, text]) => `${name}: ${text}`),
    )
    assert.equal(encoder.tableSize, decoder.tableSize)
  }
})

test('a value that would split a message throws', () => {
  for (const value of ['a\r\nb', 'a\nb', 'a\0b', `${'x'.repeat(40)}\n`]) {
    assert.throws(() => encode(new HpackEncoder(4096), [['x-a', value]]), { name: 'InvariantError' })
  }
})

test('a value wider than latin1 goes out in UTF-8', () => {
  const encoder = new HpackEncoder(4096)
  const decoder = new HpackDecoder(4096)
  for (const value of ['\u4e16', `${'x'.repeat(40)}\u4e16`]) {
    for (let i = 0; i < 3; i++) {
      const [field] = decode(decoder, encode(encoder, [['x-a', value]]).toString('hex'))
      assert.equal(field, `x-a: ${Buffer.from(value).toString('latin1')}`)
    }
  }
})

test('fields of the connection are left out', () => {
  const encoder = new HpackEncoder(4096)
  const decoder = new HpackDecoder(4096)
  encoder.begin(Buffer.alloc(64), 0)
  const kept = ['te', 'trailers', 'x-a', 'b']
  const dropped = [
    'connection',
    'close',
    'keep-alive',
    '1',
    'upgrade',
    'x',
    'transfer-encoding',
    'chunked',
    'te',
    'gzip',
  ]
  encoder.fields([...dropped, 'host', 'a', 'proxy-connection', 'close', ...kept])
  const block = encoder.buffer.subarray(0, encoder.at)
  assert.deepEqual(decode(decoder, block.toString('hex')), ['te: trailers', 'x-a: b'])
})
