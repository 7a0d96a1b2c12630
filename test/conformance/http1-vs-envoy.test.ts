import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { http1Suite } from './scenarios/http1.ts'

test('http1: Hopwise does what Envoy does', t => compareWithEnvoy(t, http1Suite))
