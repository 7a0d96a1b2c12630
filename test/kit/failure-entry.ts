/** An entry of a failure log: c could not reach d; `given` says what is otherwise. */
import type { FailureEntry } from '../../sidecar/failure-origin/failure-log.ts'

export function failureEntry(given: Partial<FailureEntry> = {}): FailureEntry {
  return {
    seq: 1,
    at: 0,
    role: 'origin',
    service: 'c',
    side: 'outbound',
    id: 'f0',
    aliases: [],
    origin: 'd',
    cause: 'connect_refused',
    subCause: '',
    by: 'c',
    link: 'c>d',
    path: ['d', 'c'],
    confidence: 'exact',
    likelihood: 1,
    span: '',
    attempts: 1,
    details: '',
    status: 503,
    grpcStatus: -1,
    requestId: '',
    traceId: '',
    ...given,
  }
}
