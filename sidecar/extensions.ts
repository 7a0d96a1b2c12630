/** Everything that ships: the one list of extensions. Nothing registers itself; what is not named here does not exist. */
import type { AnyHttpFilterFactory } from './filter-chain/http-filter.ts'
import type { AnyListenerFilterFactory } from './filter-chain/listener-filter.ts'
import { buffer } from './filters/http/buffer.ts'
import { cors } from './filters/http/cors.ts'
import { fault } from './filters/http/fault.ts'
import { grpcHttp1Bridge } from './filters/http/grpc-http1-bridge.ts'
import { grpcJsonTranscoder } from './filters/http/grpc-json-transcoder.ts'
import { grpcStats } from './filters/http/grpc-stats.ts'
import { grpcWeb } from './filters/http/grpc-web.ts'
import { headerMutation } from './filters/http/header-mutation.ts'
import { healthCheck } from './filters/http/health-check.ts'
import { localRateLimit } from './filters/http/local-rate-limit.ts'
import { httpInspector } from './filters/listener/http-inspector.ts'
import { tlsInspector } from './filters/listener/tls-inspector.ts'
import { leastRequest } from './load-balancer/least-request.ts'
import type { LoadBalancingPolicy } from './load-balancer/policy.ts'
import { random } from './load-balancer/random.ts'
import { roundRobin } from './load-balancer/round-robin.ts'
import { router } from './router/router-factory.ts'

export const httpFilters: readonly AnyHttpFilterFactory[] = [
  buffer,
  cors,
  fault,
  grpcHttp1Bridge,
  grpcJsonTranscoder,
  grpcStats,
  grpcWeb,
  headerMutation,
  healthCheck,
  localRateLimit,
  router,
] as unknown as readonly AnyHttpFilterFactory[]

export const listenerFilters: readonly AnyListenerFilterFactory[] = [
  httpInspector,
  tlsInspector,
] as unknown as readonly AnyListenerFilterFactory[]

export const loadBalancingPolicies: readonly LoadBalancingPolicy[] = [leastRequest, random, roundRobin]
