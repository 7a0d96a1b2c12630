/** An admin handler on a loopback port, over Node's own server: for programs that want to talk to it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AdminHandler } from '../../../sidecar/admin/admin-handler.ts'

export interface AdminServer extends AsyncDisposable {
  readonly port: number
  readonly accepts: string[]
}

export async function serveAdmin(handler: AdminHandler): Promise<AdminServer> {
  /** Accept headers as they came. */
  const accepts: string[] = []
  const server = createServer(async (incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://admin')
    const pieces: Buffer[] = []
    for await (const piece of incoming) pieces.push(piece as Buffer)
    accepts.push(incoming.headers.accept ?? '')
    const response = await handler.handle({
      method: incoming.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      headers: { get: name => incoming.headers[name]?.toString() },
      body: Buffer.concat(pieces),
    })
    outgoing.writeHead(response.status, [...response.headers.flat(), 'content-type', response.contentType])
    if (typeof response.body === 'string' || Buffer.isBuffer(response.body)) outgoing.write(response.body)
    else for await (const piece of response.body) outgoing.write(piece)
    outgoing.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    accepts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
