/** A process of the demo: its output goes to a file, its end is noticed, and it cannot outlive this process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export class ChildFailed extends Error {
  override name = 'ChildFailed'
}

const alive = new Set<ChildProcess>()
// Synchronous, as 'exit' demands, and each by its own pid. Should this process be killed outright, the pipe to each
// child's standard input closes, which `watch-parent.ts` in the child takes for the end.
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

export class Child {
  readonly name: string
  readonly #process: ChildProcess
  readonly #logPath: string
  readonly exited: Promise<void>
  #ended = false
  #expected = false

  constructor(name: string, command: string, args: readonly string[], logFolder: string) {
    this.name = name
    this.#logPath = join(logFolder, `${name}.log`)
    const log = openSync(this.#logPath, 'a')
    this.#process = spawn(command, args, {
      stdio: ['pipe', log, log],
      // A group of its own: Ctrl-C on the terminal reaches this process only, which then ends the children in order.
      detached: true,
      env: {
        ...process.env,
        NODE_OPTIONS: `--import=${new URL('watch-parent.ts', import.meta.url).href}`,
        NODE_COMPILE_CACHE: join(import.meta.dirname, '..', 'node_modules', '.cache', 'hopwise-demo'),
        NO_COLOR: '1',
      },
    })
    closeSync(log)
    alive.add(this.#process)
    this.#process.stdin!.on('error', () => {})
    const { promise, resolve } = Promise.withResolvers<void>()
    this.exited = promise
    const over = () => {
      alive.delete(this.#process)
      this.#ended = true
      resolve()
    }
    this.#process.on('exit', over)
    this.#process.on('error', over)
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** It ended without being told to. */
  get died(): boolean {
    return this.#ended && !this.#expected
  }

  get running(): boolean {
    return !this.#ended
  }

  /** The last lines it wrote, for a message. */
  get lastWords(): string {
    try {
      return readFileSync(this.#logPath, 'utf8').trimEnd().split('\n').slice(-12).join('\n')
    } catch {
      return ''
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#expected = true
    if (!this.#ended) this.#process.kill(signal)
    await this.exited
  }

  /** Until `ready` holds. Rejects early when the process ends, and after the deadline, each time with its last words. */
  async waitUntil(ready: () => Promise<boolean>, deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!(await ready())) {
      if (this.#ended) throw new ChildFailed(`${this.name} ended at once:\n${this.lastWords}`)
      if (performance.now() > deadline) {
        throw new ChildFailed(`${this.name} was not ready after ${deadlineMs / 1000} s:\n${this.lastWords}`)
      }
      await new Promise(resolve => setTimeout(resolve, 30))
    }
  }
}
