import { test } from 'node:test'
import { compareWithEnvoy } from './compare.ts'
import { filtersHttp2Suite } from './scenarios/filters.ts'
import { grpcHttp2Suite, grpcSuite } from './scenarios/grpc.ts'

test('gRPC: Hopwise does what Envoy does', t => compareWithEnvoy(t, grpcSuite))
test('gRPC over HTTP/2: Hopwise does what Envoy does', t => compareWithEnvoy(t, grpcHttp2Suite))
test('filters for gRPC over HTTP/2: those of Hopwise do what those of Envoy do', t =>
  compareWithEnvoy(t, filtersHttp2Suite))
