import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { http2Suites } from './scenarios/http2.ts'

for (const suite of http2Suites) {
  test(`${suite.name}: Hopwise does what Envoy does`, t => compareWithEnvoy(t, suite))
}
