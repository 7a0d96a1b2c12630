/** The stack of `compose.yaml` as a program handles it: up, down, and where its published ports are. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'

const folder = import.meta.dirname

export interface StackOptions {
  /** The `docker` client; with what it needs in its environment. */
  readonly docker?: string
  readonly env?: Readonly<Record<string, string>>
  /** Files besides `compose.yaml`, in this folder. */
  readonly overrides?: readonly string[]
  /** Of several stacks on one machine each has its own. */
  readonly project?: string
  readonly log?: (line: string) => void
}

export class Stack {
  readonly #docker: string
  readonly #env: NodeJS.ProcessEnv
  readonly #args: readonly string[]
  readonly #log: (line: string) => void

  constructor(options: StackOptions = {}) {
    this.#docker = options.docker ?? 'docker'
    this.#env = { ...process.env, ...options.env }
    this.#log = options.log ?? (() => {})
    const files = ['compose.yaml', ...(options.overrides ?? [])].flatMap(name => ['-f', join(folder, name)])
    this.#args = ['compose', '--progress', 'plain', ...files, ...(options.project ? ['-p', options.project] : [])]
  }

  /** Builds what has changed; each image once, though several services are of it. */
  async build(): Promise<void> {
    await this.#run(['build', 'certificates', 'front', 'b'])
  }

  /** Resolves when everything that has a health check is healthy. */
  async up(...services: readonly string[]): Promise<void> {
    await this.#run(['up', '--detach', '--wait', '--wait-timeout', '180', ...services])
  }

  /** With its volumes, networks and what earlier files had started. */
  async down(): Promise<void> {
    await this.#run(['down', '--volumes', '--remove-orphans', '--timeout', '2'])
  }

  async compose(...args: readonly string[]): Promise<string> {
    return await this.#run(args)
  }

  /** `http://127.0.0.1:49153`: where the port of a service is published. */
  url(service: string, port: number, scheme = 'http'): string {
    const { stdout, stderr, status } = this.#sync(['port', service, String(port)])
    const address = stdout.trim()
    if (status !== 0 || address === '') throw new Error(`port ${port} of ${service} is not published: ${stderr}`)
    return `${scheme}://${address}`
  }

  /** The last lines of a container, for a message. */
  logs(service: string, lines = 20): string {
    const { stdout, stderr } = this.#sync(['logs', '--no-color', '--tail', String(lines), service])
    return stdout + stderr
  }

  #sync(args: readonly string[]): SpawnSyncReturns<string> {
    return spawnSync(this.#docker, [...this.#args, ...args], { env: this.#env, encoding: 'utf8' })
  }

  async #run(args: readonly string[]): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const child = spawn(this.#docker, [...this.#args, ...args], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    child.on('error', reject)
    child.on('close', code => {
      this.#log(output)
      if (code === 0) resolve(stdout)
      else reject(new Error(`docker compose ${args.join(' ')} ended with ${code}:\n${output.slice(-4000)}`))
    })
    return promise
  }
}
