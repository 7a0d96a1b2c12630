/** Whether what is soon done with is found dead by V8's collector of young objects, asked of that collector itself. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options: { type: 'minor' }) => void

const PASSING = 4000
const AT_ONCE = 16
/** Collections while they pass. */
const COLLECTIONS = 8

async function collectYoung(): Promise<void> {
  // A WeakRef holds what it was made for until its job is over, and this one is a part of the job before.
  for (let i = 0; i < 2; i++) await new Promise(setImmediate)
  gc({ type: 'minor' })
}

/**
 * Lets objects come into something and leave it again, {@link AT_ONCE} there at a time, and answers the share that is alive
 * after they have all gone and young objects have been collected. What they come into is old by then.
 */
export async function shareOutliving<T extends object>(
  make: (number: number) => T,
  enter: (item: T) => void,
  leave: (item: T) => void,
): Promise<number> {
  const first = make(0)
  enter(first)
  for (let i = 0; i < 3; i++) await collectYoung()
  leave(first)
  const seen: WeakRef<T>[] = []
  const inside: T[] = []
  for (let number = 1; number <= PASSING; number++) {
    const item = make(number)
    seen.push(new WeakRef(item))
    enter(item)
    inside.push(item)
    if (inside.length > AT_ONCE) leave(inside.shift()!)
    if (number % (PASSING / COLLECTIONS) === 0) await collectYoung()
  }
  for (const item of inside.splice(0)) leave(item)
  await collectYoung()
  return seen.filter(ref => ref.deref() !== undefined).length / PASSING
}
