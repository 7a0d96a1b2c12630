import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits until `condition` holds (anything truthy, which is also the result), looking every few milliseconds. The deadline
 * is for what will never be: a machine that is busy with other things may be slow by seconds.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  {
    deadlineMs = 20_000,
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
