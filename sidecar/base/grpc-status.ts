/** gRPC status codes: their names, and what they and HTTP statuses are to each other (grpc/doc/statuscodes.md). */

export const GrpcStatus = {
  Ok: 0,
  Cancelled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const
export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus]

/** As Envoy's access log spells them, by number. */
export const GRPC_STATUS_NAMES: readonly (readonly [camel: string, snake: string])[] = [
  ['OK', 'OK'],
  ['Canceled', 'CANCELLED'],
  ['Unknown', 'UNKNOWN'],
  ['InvalidArgument', 'INVALID_ARGUMENT'],
  ['DeadlineExceeded', 'DEADLINE_EXCEEDED'],
  ['NotFound', 'NOT_FOUND'],
  ['AlreadyExists', 'ALREADY_EXISTS'],
  ['PermissionDenied', 'PERMISSION_DENIED'],
  ['ResourceExhausted', 'RESOURCE_EXHAUSTED'],
  ['FailedPrecondition', 'FAILED_PRECONDITION'],
  ['Aborted', 'ABORTED'],
  ['OutOfRange', 'OUT_OF_RANGE'],
  ['Unimplemented', 'UNIMPLEMENTED'],
  ['Internal', 'INTERNAL'],
  ['Unavailable', 'UNAVAILABLE'],
  ['DataLoss', 'DATA_LOSS'],
  ['Unauthenticated', 'UNAUTHENTICATED'],
]

/** The gRPC status of an answer that has only an HTTP status (Envoy: `Grpc::Utility::httpToGrpcStatus`). */
export function grpcStatusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return GrpcStatus.Internal
    case 401:
      return GrpcStatus.Unauthenticated
    case 403:
      return GrpcStatus.PermissionDenied
    case 404:
      return GrpcStatus.Unimplemented
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcStatus.Unavailable
    default:
      return GrpcStatus.Unknown
  }
}

/** By gRPC status (Envoy: `Grpc::Utility::grpcToHttpStatus`). */
const HTTP: readonly number[] = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]

/** The HTTP status that says the same as a gRPC status; 500 for one that does not exist. */
export function httpStatusOfGrpc(status: number): number {
  return HTTP[status] ?? 500
}

/** `grpc-status` as it stands in headers or trailers; undefined where it is missing, -1 where it is no number. */
export function parseGrpcStatus(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  return /^\d{1,9}$/.test(text) ? Number(text) : -1
}
