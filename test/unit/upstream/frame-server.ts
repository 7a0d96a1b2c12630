/** An HTTP/2 server of raw frames: SETTINGS are exchanged for it, everything else is the test's business. */
import type { Socket } from 'node:net'
import { type Frame, FrameReader, FrameType, SETTINGS_ACK, settings } from '../../kit/http2-frames.ts'
import { ScriptedServer } from './scripted-server.ts'

export class FrameConnection {
  readonly socket: Socket
  /** Ids of the streams that were opened, in order. */
  readonly opened: number[] = []
  readonly frames: Frame[] = []

  constructor(socket: Socket) {
    this.socket = socket
  }

  send(...frames: Buffer[]): void {
    this.socket.write(Buffer.concat(frames))
  }

  /** Codes of RST_STREAM frames by stream. */
  get resets(): [number, number][] {
    return this.frames
      .filter(({ type }) => type === FrameType.RstStream)
      .map(({ streamId, payload }) => [streamId, payload.readUInt32BE(0)])
  }
}

export class FrameServer {
  readonly connections: FrameConnection[] = []
  #server: ScriptedServer

  private constructor(server: ScriptedServer) {
    this.#server = server
  }

  /** `onRequest` is told of every HEADERS frame that opens a stream. */
  static async start(
    onRequest: (connection: FrameConnection, streamId: number, index: number) => void = () => {},
    parameters: Readonly<Record<number, number>> = {},
    options: { answerPings?: boolean } = {},
  ): Promise<FrameServer> {
    const server: { value?: FrameServer } = {}
    const scripted = await ScriptedServer.start((socket, number) => {
      const connection = new FrameConnection(socket)
      server.value!.connections.push(connection)
      const reader = new FrameReader()
      connection.send(settings(parameters))
      socket.on('data', (bytes: Buffer) => {
        for (const frame of reader.push(bytes)) {
          connection.frames.push(frame)
          if (frame.type === FrameType.Settings && (frame.flags & 1) === 0) connection.send(SETTINGS_ACK)
          if (frame.type === FrameType.Ping && options.answerPings === true) {
            const head = Buffer.from([0, 0, 8, FrameType.Ping, 1, 0, 0, 0, 0])
            connection.send(head, frame.payload)
          }
          if (frame.type !== FrameType.Headers || connection.opened.includes(frame.streamId)) continue
          connection.opened.push(frame.streamId)
          onRequest(connection, frame.streamId, number - 1)
        }
      })
    })
    server.value = new FrameServer(scripted)
    return server.value
  }

  get port(): number {
    return this.#server.port
  }

  get open(): number {
    return this.#server.open
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }
}
