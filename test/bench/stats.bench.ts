/**
 * What does touching a stat cost on the path? Goal: 20 ns a histogram record, 5 ns a counter.
 *
 *   node test/bench/stats.bench.ts
 */
import { StatsStore } from '../../sidecar/observability/stats-store.ts'

const ROUNDS = 20_000_000
const store = new StatsStore()
const counter = store.counter('c')
const gauge = store.gauge('g')
const histogram = store.histogram('h')
const values = Array.from({ length: 1024 }, () => Math.floor(Math.exp(Math.random() * 7)))
const fractions = values.map(value => value + Math.random())

function measure(name: string, body: (round: number) => void): void {
  for (let i = 0; i < 1_000_000; i++) body(i)
  const start = performance.now()
  for (let i = 0; i < ROUNDS; i++) body(i)
  console.log(`${name}: ${(((performance.now() - start) / ROUNDS) * 1e6).toFixed(1)} ns`)
}

measure('counter.inc', () => counter.inc())
measure('gauge.inc and dec', () => {
  gauge.inc()
  gauge.dec()
})
measure('histogram.record, 1 to 9 ms', i => histogram.record(1 + (i & 7)))
measure('histogram.record, 1 ms to 1 s at random', i => histogram.record(values[i & 1023]!))
measure('histogram.record, fractions', i => histogram.record(fractions[i & 1023]!))
const labelled = store.labelled('hopwise_bench_total', ['a', 'b'], 'Bench.')
measure('labelled look-up and inc', i => labelled.counter('x', (i & 7) === 0 ? 'y' : 'z').inc())
