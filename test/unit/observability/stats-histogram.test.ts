import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DEFAULT_BOUNDS, LogLinearHistogram, QUANTILES } from '../../../sidecar/observability/histogram.ts'

function filled(values: readonly number[], bounds?: readonly number[]): LogLinearHistogram {
  const histogram = new LogLinearHistogram('h', bounds)
  for (const value of values) histogram.record(value)
  return histogram
}

/** Rounded as far as Envoy's own digits go: it interpolates in another order, which shows in the 15th. */
function rounded(values: readonly number[]): number[] {
  return values.map(value => Number(value.toPrecision(13)))
}

test('quantiles are those that real Envoy 1.40 printed for the same values', () => {
  const one = 1.05
  assert.deepEqual(rounded(filled([1]).quantiles()), Array(10).fill(one))
  assert.deepEqual(rounded(filled([0, 0]).quantiles()), Array(10).fill(0))
  assert.deepEqual(rounded(filled([25]).quantiles()), Array(10).fill(25.5))
  // Seventeen connections accepted one at a time.
  assert.deepEqual(
    rounded(filled(Array(17).fill(1)).quantiles()),
    rounded([
      1.0055555555555555, 1.0277777777777777, 1.05, 1.0722222222222222, 1.0888888888888888, 1.0944444444444446,
      1.0944444444444446, 1.0944444444444446, 1.0944444444444446, 1.0944444444444446,
    ]),
  )
  // upstream_rq_headers_count: five requests of nine headers, two of ten.
  assert.deepEqual(
    rounded(filled([9, 9, 9, 9, 9, 10, 10]).quantiles()),
    rounded([
      9.016666666666667, 9.033333333333333, 9.066666666666666, 10.333333333333334, 10.666666666666666,
      10.666666666666666, 10.666666666666666, 10.666666666666666, 10.666666666666666, 10.666666666666666,
    ]),
  )
})

test('there is no quantile of nothing', () => {
  assert.deepEqual(filled([]).quantiles(), Array(10).fill(Number.NaN))
  assert.equal(filled([]).used, false)
})

test('buckets are exact at their bounds, where the bins are coarser', () => {
  const histogram = filled([0.5, 0.51, 1, 250, 255, 259.9, 3600000, 3600001])
  const counts = new Map(DEFAULT_BOUNDS.map((bound, i) => [bound, histogram.disjointBuckets()[i]!]))
  assert.equal(counts.get(0.5), 1)
  assert.equal(counts.get(1), 2)
  assert.equal(counts.get(250), 1)
  assert.equal(counts.get(500), 2)
  assert.equal(counts.get(3600000), 1)
  assert.equal(histogram.cumulativeBuckets().at(-1), 7)
  assert.equal(histogram.count, 8)
})

test('for any values and bounds the buckets are what counting by hand gives', () => {
  const value = fc.oneof(
    fc.double({ min: 0, max: 1e7, noNaN: true }),
    fc.integer({ min: 0, max: 20000 }),
    fc.constantFrom(...DEFAULT_BOUNDS),
  )
  const bounds = fc.uniqueArray(fc.double({ min: 0.001, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(fc.array(value, { maxLength: 60 }), fc.option(bounds), (values, chosen) => {
      const limits = chosen === null ? DEFAULT_BOUNDS : chosen.sort((a, b) => a - b)
      const histogram = filled(values, limits)
      const byHand = limits.map(bound => values.filter(one => one <= bound).length)
      assert.deepEqual(histogram.cumulativeBuckets(), byHand)
      assert.equal(histogram.count, values.length)
    }),
  )
})

test('for any values each quantile is within one bin, a tenth, of the true one', () => {
  const values = fc.array(fc.double({ min: 0.001, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(values, list => {
      const sorted = list.toSorted((a, b) => a - b)
      filled(list)
        .quantiles()
        .forEach((estimate, i) => {
          const rank = Math.max(1, Math.ceil(QUANTILES[i]! * sorted.length))
          const exact = sorted[rank - 1]!
          assert.ok(Math.abs(estimate - exact) <= exact * 0.1 + 1e-9, `${QUANTILES[i]}: ${estimate} for ${exact}`)
        })
    }),
  )
})

test('what is no number, negative or beyond all measure neither throws nor poisons the sum', () => {
  const histogram = filled([Number.NaN, -5, 1e-7, 1e300])
  assert.equal(histogram.count, 4)
  assert.ok(histogram.sum >= 1e300)
  assert.deepEqual(histogram.totalBins()[0], [0, 0, 3])
  assert.equal(histogram.quantiles().at(-1)! < 1e12, true)
})

test('the interval is the last whole one, the total runs on without waiting for it', () => {
  const histogram = filled([10])
  assert.equal(histogram.intervalQuantiles()[0], Number.NaN)
  assert.equal(histogram.quantiles()[0], 10.5)
  histogram.rotate()
  histogram.record(20)
  assert.equal(histogram.intervalQuantiles()[0], 10.5)
  assert.equal(histogram.quantiles().at(-1), 20.5)
  histogram.rotate()
  assert.equal(histogram.intervalQuantiles()[0], 20.5)
  histogram.rotate()
  assert.equal(histogram.intervalQuantiles()[0], Number.NaN)
  assert.deepEqual(histogram.totalBins(), [
    [10, 1, 1],
    [20, 1, 1],
  ])
  const over = DEFAULT_BOUNDS.indexOf(25)
  assert.equal(histogram.cumulativeBuckets()[over], 2)
})

test('bins are printed without the dust of binary fractions', () => {
  assert.deepEqual(filled([0.3]).totalBins(), [[0.3, 0.01, 1]])
  assert.deepEqual(filled([2.3]).totalBins(), [[2.3, 0.1, 1]])
  assert.deepEqual(filled([181]).totalBins(), [[180, 10, 1]])
})

test('an exemplar is kept per bucket, the newest, and none for an untraced request', () => {
  const histogram = new LogLinearHistogram('h')
  histogram.recordWithExemplar(3, 'aaaa')
  histogram.recordWithExemplar(4, 'bbbb')
  histogram.recordWithExemplar(4, '')
  histogram.recordWithExemplar(7e6, 'cccc')
  assert.equal(histogram.exemplar(DEFAULT_BOUNDS.indexOf(5))?.traceId, 'bbbb')
  assert.equal(histogram.exemplar(DEFAULT_BOUNDS.length)?.traceId, 'cccc')
  assert.equal(histogram.exemplar(0), undefined)
  assert.equal(histogram.count, 4)
})

test('exemplars of several threads are one per bucket', () => {
  const [one, other, sum] = [new LogLinearHistogram('h'), new LogLinearHistogram('h'), new LogLinearHistogram('h')]
  one.recordWithExemplar(4, 'aaaa')
  other.recordWithExemplar(4, 'bbbb')
  other.recordWithExemplar(7e6, 'cccc')
  for (const part of [other, one]) sum.absorb(part.snapshot())
  const kept = [DEFAULT_BOUNDS.indexOf(5), DEFAULT_BOUNDS.length].map(bucket => sum.exemplar(bucket)?.traceId)
  assert.match(kept[0]!, /aaaa|bbbb/)
  assert.equal(kept[1], 'cccc')
})
