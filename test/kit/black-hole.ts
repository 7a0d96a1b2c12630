/**
 * A port that never accepts a connection: a process listens there, fills its own accept queue and blocks for good, so that
 * the kernel drops whatever else comes. Stands for a host that swallows packets; loopback offers no other.
 */
import { connect, createServer } from 'node:net'
import { TestProcess } from './process.ts'

export class BlackHole {
  readonly port: number
  readonly #process: TestProcess

  private constructor(port: number, process: TestProcess) {
    this.port = port
    this.#process = process
  }

  static async start(port: number): Promise<BlackHole> {
    const child = TestProcess.start(process.execPath, [import.meta.filename, String(port)], { name: 'black hole' })
    await child.waitUntil(() => child.output.includes('ready'), 'the black hole', 30_000)
    return new BlackHole(port, child)
  }

  async close(): Promise<void> {
    await this.#process.stop('SIGKILL')
  }
}

if (process.argv[1] === import.meta.filename) {
  const port = Number(process.argv[2])
  const server = createServer()
  server.listen({ port, host: '127.0.0.1', backlog: 1 }, () => {
    for (let i = 0; i < 4; i++) connect(port, '127.0.0.1').on('error', () => {})
    process.stdout.write('ready\n')
    process.nextTick(() => {
      const nothing = new Int32Array(new SharedArrayBuffer(4))
      const parent = process.ppid
      // A blocked process hears of nothing, so it has to look whether it still has a parent.
      while (process.ppid === parent) Atomics.wait(nothing, 0, 0, 300)
      process.exit()
    })
  })
}
