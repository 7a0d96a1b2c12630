import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { grpcSuite } from './scenarios/grpc.ts'

test('gRPC: Hopwise does what Envoy does', t => compareWithEnvoy(t, grpcSuite))
