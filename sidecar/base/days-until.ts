const DAY_MS = 86_400_000

/** Whole days that are left until `thenMs`, 0 when it is over. Envoy counts in seconds: in the one that runs nothing is lost. */
export function daysUntil(thenMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((thenMs - Math.floor(nowMs / 1000) * 1000) / DAY_MS))
}
