/** Our own bug: a condition that the surrounding code guarantees did not hold. Caught once, at the connection's edge. */
export class InvariantError extends Error {
  override name = 'InvariantError'
}

/** Throws {@link InvariantError} unless `condition` holds; `why` says why it always should. */
export function invariant(condition: unknown, why: string): asserts condition {
  if (!condition) throw new InvariantError(why)
}
