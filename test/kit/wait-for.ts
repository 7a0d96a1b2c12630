import { setTimeout as delay } from 'node:timers/promises'

/** Waits until `condition` holds (anything truthy, which is also the result), looking every few milliseconds. */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  {
    deadlineMs = 5000,
    everyMs = 5,
    what = 'a condition',
  }: { deadlineMs?: number; everyMs?: number; what?: string } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`)
    await delay(everyMs)
  }
}
