/**
 * Programs started by tests: output is kept, ends are awaited with a deadline, and nothing outlives the test process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { waitFor } from './wait-for.ts'

const alive = new Set<ChildProcess>()

// Synchronous on purpose: in 'exit' nothing else runs. Each by its own pid, never by name.
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1))
}

export interface ProcessOptions {
  cwd?: string
  /** Added to the test's own environment. */
  env?: Readonly<Record<string, string>>
  /** Name in messages; the command by default. */
  name?: string
}

export class TestProcess {
  readonly name: string
  readonly child: ChildProcess
  /** What it wrote to stdout and stderr, in the order it came. */
  output = ''
  stdout = ''
  stderr = ''
  /** Exit code, or -1 when it ended by a signal. */
  readonly exited: Promise<number>
  exitCode: number | undefined

  private constructor(command: string, args: readonly string[], options: ProcessOptions) {
    this.name = options.name ?? command
    this.child = spawn(command, args, {
      cwd: options.cwd,
      // Node's test runner tells its children by this variable; programs under test are none.
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    alive.add(this.child)
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.output += text
      this.stdout += text
    })
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.output += text
      this.stderr += text
    })
    this.exited = new Promise(resolve => {
      const over = (code: number) => {
        alive.delete(this.child)
        this.exitCode ??= code
        resolve(this.exitCode)
      }
      this.child.on('error', error => {
        this.output += `cannot start ${command}: ${error.message}\n`
        over(127)
      })
      this.child.on('close', (code, signal) => over(signal === null ? (code ?? -1) : -1))
    })
  }

  static start(command: string, args: readonly string[] = [], options: ProcessOptions = {}): TestProcess {
    return new TestProcess(command, args, options)
  }

  get pid(): number {
    return this.child.pid ?? -1
  }

  /** The first line of output that matches, now or later; fails with the output when the process ends first. */
  async waitForLine(pattern: RegExp | string, deadlineMs = 10_000): Promise<string> {
    return await this.waitUntil(
      () =>
        this.output
          .split('\n')
          .find(line => (typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line))),
      `a line with ${pattern}`,
      deadlineMs,
    )
  }

  /** Until the port accepts connections. */
  async waitForPort(port: number, deadlineMs = 10_000): Promise<void> {
    await this.waitUntil(() => accepts(port), `port ${port}`, deadlineMs)
  }

  /** Like {@link waitFor}, but ends early, with the output, when the process does. */
  async waitUntil<T>(condition: () => T | Promise<T>, what: string, deadlineMs = 10_000): Promise<NonNullable<T>> {
    try {
      return await waitFor(
        async () => {
          const value = await condition()
          if (!value && this.exitCode !== undefined)
            throw new Error(`${this.name} ended with ${this.exitCode} before ${what}`)
          return value
        },
        { deadlineMs, what: `${what} of ${this.name}`, everyMs: 10 },
      )
    } catch (error) {
      throw new Error(`${(error as Error).message}; its output:\n${this.output.slice(-4000)}`)
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Ends it: `signal`, then SIGKILL after the deadline. Gives the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', deadlineMs = 5000): Promise<number> {
    if (this.exitCode === undefined) this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), deadlineMs)
    const code = await this.exited
    clearTimeout(timer)
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL')
  }
}

/** Runs a program to its end; throws with its output unless it exits with 0 (or `options.status`). */
export async function run(
  command: string,
  args: readonly string[] = [],
  options: ProcessOptions & { deadlineMs?: number; status?: number } = {},
): Promise<TestProcess> {
  const child = TestProcess.start(command, args, options)
  const timer = setTimeout(() => child.signal('SIGKILL'), options.deadlineMs ?? 60_000)
  const code = await child.exited
  clearTimeout(timer)
  if (code !== (options.status ?? 0)) {
    throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${child.output.slice(-4000)}`)
  }
  return child
}

export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ port, host })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
