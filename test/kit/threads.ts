/** Functions run in worker threads at the same time, for structures that threads share. */
import { Worker } from 'node:worker_threads'

/**
 * Runs `body` in `count` threads that begin together; gives what each returns. The body is an `async (module, data, index)`
 * as text: `module` is what `path` (from the repository's root) exports, `data` is handed over as it is.
 */
export async function inThreads<T>(count: number, path: string, data: unknown, body: string): Promise<T[]> {
  const module = new URL(`../../${path}`, import.meta.url).href
  const gate = new SharedArrayBuffer(4)
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.module).then(async module => {
      const gate = new Int32Array(workerData.gate)
      // All begin when the last one is here.
      if (Atomics.add(gate, 0, 1) + 1 === workerData.count) Atomics.notify(gate, 0)
      else while (Atomics.load(gate, 0) < workerData.count) Atomics.wait(gate, 0, Atomics.load(gate, 0), 5)
      parentPort.postMessage(await (${body})(module, workerData.data, workerData.index))
    })`
  return await Promise.all(
    Array.from(
      { length: count },
      (_, index) =>
        new Promise<T>((resolve, reject) => {
          const worker = new Worker(source, { eval: true, workerData: { module, data, gate, count, index } })
          worker.on('message', resolve)
          worker.on('error', reject)
        }),
    ),
  )
}
