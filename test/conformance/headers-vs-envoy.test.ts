import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { headerSuite } from './scenarios/headers.ts'

test('headers: Hopwise does what Envoy does', t => compareWithEnvoy(t, headerSuite))
