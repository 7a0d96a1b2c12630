/** Milliseconds since 1970 with fractions, the same for all processes of a machine. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now()
}
