import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CidrSet } from '../../../sidecar/base/cidr.ts'
import { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { addressFromXff, CustomHeaderDetector, XffDetector } from '../../../sidecar/http/ip-detection.ts'

const peer = { ip: '10.0.0.1', port: 1 }
const request = (...list: string[]) => new RequestHeaders('GET', '/', 'a', 'http', list)

describe('whose address a request comes from', () => {
  test('the hops count from the right', () => {
    const header = '1.1.1.1, 2.2.2.2,3.3.3.3'
    assert.equal(addressFromXff(header, 0)?.ip, '3.3.3.3')
    assert.equal(addressFromXff(header, 1)?.ip, '2.2.2.2')
    assert.equal(addressFromXff(header, 2)?.ip, '1.1.1.1')
    assert.equal(addressFromXff(header, 3), undefined)
  })

  test('what is no bare address counts as none', () => {
    for (const text of ['', 'unknown', '1.2.3.4:80', '[::1]', '1.2.3', '1.2.3.256']) {
      assert.equal(addressFromXff(text, 0), undefined, text)
    }
    assert.equal(addressFromXff('2001:db8::1', 0)?.ip, '2001:db8::1')
  })

  test('only an address that nobody added to may be internal', () => {
    const detector = new XffDetector(0, undefined, false)
    assert.equal(detector.detect(request('x-forwarded-for', '1.1.1.1'), peer).trusted, true)
    assert.equal(detector.detect(request('x-forwarded-for', '1.1.1.1,2.2.2.2'), peer).trusted, false)
    assert.equal(detector.detect(request(), peer).trusted, false)
  })

  test('of trusted proxies the first address before them is taken, and nothing of strangers', () => {
    const proxies = new CidrSet([{ addressPrefix: '10.0.0.0', prefixLen: 8 }])
    const detector = new XffDetector(0, proxies, false)
    const headers = request('x-forwarded-for', '9.9.9.9, 1.1.1.1, 10.0.0.7, 10.0.0.8')
    assert.equal(detector.detect(headers, peer).address?.ip, '1.1.1.1')
    assert.equal(detector.detect(headers, { ip: '8.8.8.8', port: 1 }).address, undefined)
    assert.equal(detector.detect(request('x-forwarded-for', '10.0.0.7,10.0.0.8'), peer).address?.ip, '10.0.0.7')
  })

  test('a header of its own, and the refusal of requests without it', () => {
    const detector = new CustomHeaderDetector('X-Real-IP', true, 403)
    const found = detector.detect(request('x-real-ip', '1.1.1.1'))
    assert.deepEqual([found.address?.ip, found.trusted, found.refuseStatus], ['1.1.1.1', true, 0])
    assert.equal(detector.detect(request()).refuseStatus, 403)
  })
})
