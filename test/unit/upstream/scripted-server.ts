/** A server of raw bytes on loopback: what a connection does is the script's business. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export type ConnectionScript = (socket: Socket, connection: number) => void

export class ScriptedServer {
  /** Connections accepted so far, in order. */
  readonly sockets: Socket[] = []
  /** Everything received, by connection. */
  readonly received: string[] = []
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(script: ConnectionScript): Promise<ScriptedServer> {
    const server = createServer({ noDelay: true, allowHalfOpen: true })
    const scripted = new ScriptedServer(server)
    server.on('connection', socket => {
      const index = scripted.sockets.push(socket) - 1
      scripted.received.push('')
      socket.on('error', () => {})
      socket.on('end', () => socket.end())
      socket.on('data', bytes => (scripted.received[index] += bytes.toString('latin1')))
      script(socket, index + 1)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return scripted
  }

  /** Answers each read with the next of `answers`, the last again and again. */
  static answering(...answers: readonly string[]): Promise<ScriptedServer> {
    let next = 0
    return ScriptedServer.start(socket => {
      socket.on('data', () => socket.write(answers[Math.min(next++, answers.length - 1)]!, 'latin1'))
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get open(): number {
    return this.sockets.filter(socket => !socket.destroyed).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
