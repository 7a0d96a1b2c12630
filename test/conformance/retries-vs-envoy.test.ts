import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { retrySuite } from './scenarios/retries.ts'

test('retries: Hopwise does what Envoy does', t => compareWithEnvoy(t, retrySuite))
