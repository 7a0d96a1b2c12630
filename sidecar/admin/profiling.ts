/**
 * `/cpuprofiler` and `/heap_dump`, by V8 through `node:inspector`, for Chrome's developer tools. Both are bounded: one at a
 * time, a CPU profile for a minute at most, a heap dump only of a heap that fits twice (taking it stops the process for
 * about a second per 100 MB, which is why it wants POST here; Envoy's is a GET).
 */
import type { Session } from 'node:inspector/promises'
import { type AdminRequest, type AdminResponse, type Endpoint, JSON_TYPE, ok, respond, text } from './message.ts'

const MAX_PROFILE_MS = 60_000
const MAX_HEAP_BYTES = 1024 * 1024 * 1024

export function profilingEndpoints(): Endpoint[] {
  const profiler = new CpuProfiler()
  let dumping = false
  return [
    {
      path: '/cpuprofiler',
      help: 'enable/disable the CPU profiler; disabling answers with the profile',
      mutates: true,
      params: [
        { name: 'enable', help: 'enables the CPU profiler', choices: ['y', 'n'] },
        { name: 'seconds', help: 'profile for so long (at most 60) and answer with the profile' },
      ],
      handle: request => profiler.handle(request),
    },
    {
      path: '/heap_dump',
      help: 'dump the heap as a .heapsnapshot; stops the process meanwhile',
      mutates: true,
      handle: async () => {
        if (dumping) return text('a heap dump is being written already\n', 409)
        const { heapUsed } = process.memoryUsage()
        if (heapUsed > MAX_HEAP_BYTES) return text(`the heap is too large to dump: ${heapUsed} bytes\n`, 503)
        dumping = true
        const { getHeapSnapshot } = await import('node:v8')
        const snapshot = getHeapSnapshot()
        snapshot.once('close', () => {
          dumping = false
        })
        return respond(200, 'application/octet-stream', snapshot)
      },
    },
  ]
}

class CpuProfiler {
  #session: Session | undefined = undefined
  #limit: NodeJS.Timeout | undefined = undefined
  /** Of a profile that reached its limit before it was asked for. */
  #finished: string | undefined = undefined

  async handle({ query }: AdminRequest): Promise<AdminResponse> {
    const seconds = query.get('seconds')
    if (seconds !== null) return this.#once(Number(seconds) * 1000)
    const enable = query.get('enable')
    if (enable === 'y') return this.#start()
    if (enable !== 'n') return text('?enable=<y|n>\n', 400)
    if (this.#session !== undefined) await this.#stop()
    const profile = this.#finished
    this.#finished = undefined
    return profile === undefined ? ok() : respond(200, JSON_TYPE, profile)
  }

  async #once(ms: number): Promise<AdminResponse> {
    if (!(ms > 0 && ms <= MAX_PROFILE_MS)) return text('?seconds=<1 to 60>\n', 400)
    const started = await this.#start()
    if (started.status !== 200) return started
    await new Promise(resolve => setTimeout(resolve, ms))
    if (this.#session !== undefined) await this.#stop()
    const profile = this.#finished ?? '{}'
    this.#finished = undefined
    return respond(200, JSON_TYPE, profile)
  }

  async #start(): Promise<AdminResponse> {
    if (this.#session !== undefined) return text('failure to start the profiler\n', 500)
    const { Session } = await import('node:inspector/promises')
    const session = new Session()
    this.#session = session
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.start')
    this.#limit = setTimeout(() => void this.#stop(), MAX_PROFILE_MS)
    this.#limit.unref()
    return ok()
  }

  async #stop(): Promise<void> {
    const session = this.#session!
    clearTimeout(this.#limit)
    const { profile } = await session.post('Profiler.stop')
    session.disconnect()
    this.#session = undefined
    this.#finished = JSON.stringify(profile)
  }
}
