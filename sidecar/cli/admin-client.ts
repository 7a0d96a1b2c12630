/** Asks a running sidecar on its admin listener; everything that can go wrong is told in words. */
import { get, type IncomingMessage } from 'node:http'
import { CommandError, UsageError } from './command.ts'

export const DEFAULT_ADMIN = '127.0.0.1:9901'
/** The option that every verb has which asks a sidecar. */
export const ADMIN_OPTION = { admin: { type: 'string' } } as const
export const ADMIN_HELP = `  --admin HOST:PORT  its admin listener (default: $HOPWISE_ADMIN, else ${DEFAULT_ADMIN})`

const TIMEOUT_MS = 5000

export class AdminClient {
  /** As it was given, for messages. */
  readonly address: string
  readonly #host: string
  readonly #port: number

  constructor(address: string) {
    const [host, port] = hostAndPort(address)
    this.#host = host
    this.#port = port
    this.address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  /** From the option, else the environment, else the default. */
  static of(option: string | undefined): AdminClient {
    return new AdminClient(option ?? (process.env['HOPWISE_ADMIN'] || DEFAULT_ADMIN))
  }

  async json<T>(path: string): Promise<T> {
    const text = await this.text(path)
    try {
      return JSON.parse(text) as T
    } catch {
      throw new CommandError(`${this.address}${path} answered with something that is no JSON: is it an admin listener?`)
    }
  }

  async text(path: string): Promise<string> {
    const { status, text } = await this.status(path)
    if (status !== 200) throw this.#refused(path, status, text)
    return text
  }

  /** The answer whatever its status. */
  async status(path: string): Promise<{ readonly status: number; readonly text: string }> {
    try {
      const response = await this.#get(path, AbortSignal.timeout(TIMEOUT_MS))
      return { status: response.statusCode ?? 0, text: await bodyOf(response) }
    } catch (error) {
      throw this.#noAnswer(error)
    }
  }

  /** Lines of an answer that goes on, until `signal` ends it or the sidecar does. */
  async *lines(path: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    let rest = ''
    try {
      const response = await this.#get(path, signal)
      if (response.statusCode !== 200) throw this.#refused(path, response.statusCode ?? 0, await bodyOf(response))
      for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) {
        const lines = (rest + piece).split('\n')
        rest = lines.pop() ?? ''
        yield* lines
      }
    } catch (error) {
      if (signal.aborted) return
      throw error instanceof CommandError ? error : this.#noAnswer(error)
    }
  }

  #get(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      // Not `fetch`, which has a list of ports that it does not go to.
      get({ host: this.#host, port: this.#port, path, signal, agent: false }, resolve).on('error', reject)
    })
  }

  #refused(path: string, status: number, text: string): CommandError {
    const [first = ''] = text.trim().split('\n')
    if (status === 404 && first.startsWith('invalid path')) {
      const what = path.replace(/\?.*/, '')
      return new CommandError(`${this.address} has no ${what}: it is no Hopwise sidecar, or an older one`)
    }
    return new CommandError(`${this.address} refused${first === '' ? '' : `: ${first}`} (${status})`)
  }

  #noAnswer(error: unknown): CommandError {
    const cause = ((error as { cause?: unknown }).cause ?? error) as NodeJS.ErrnoException
    return new CommandError(`no answer from the admin listener at ${this.address}: ${reason(cause)}`)
  }
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) text += piece
  return text
}

function reason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return (
        'connection refused. Does the sidecar run, and does its configuration have `admin:`? ' +
        'Say where it is with --admin HOST:PORT'
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'there is no host of that name'
    case 'ECONNRESET':
      return 'it closed the connection'
  }
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return `nothing within ${TIMEOUT_MS / 1000} s`
  if (/^HPE_/.test(error.code ?? '')) return 'what answers there does not speak HTTP'
  return error.message
}

/** `9901`, `:9901`, `host:9901`, `[::1]:9901` or a whole `http://…`. */
function hostAndPort(address: string): readonly [host: string, port: number] {
  const text = address.replace(/^http:\/\//, '').replace(/\/$/, '')
  const whole = /^\d+$/.test(text) ? `127.0.0.1:${text}` : text.startsWith(':') ? `127.0.0.1${text}` : text
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(whole)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 65_535) {
    throw new UsageError(`'${address}' is no address of an admin listener; write HOST:PORT, as in ${DEFAULT_ADMIN}`)
  }
  return [(match[1] ?? match[2])!, port]
}
