/** Where our verdict on a request differs from Envoy's on purpose. */
export interface AllowedDifference {
  /** `file: name` in `test/corpus/http1/`. */
  readonly case: string
  /** Statuses that Envoy gives → that we give. */
  readonly verdicts: string
  readonly why: string
}

export const ALLOWED_DIFFERENCES: readonly AllowedDifference[] = []
