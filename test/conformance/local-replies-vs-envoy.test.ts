import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { replySuite } from './scenarios/replies.ts'

test('local replies: Hopwise does what Envoy does', t => compareWithEnvoy(t, replySuite))
