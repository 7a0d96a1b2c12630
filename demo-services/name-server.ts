/** A name server on loopback that knows no name (NXDOMAIN, RFC 1035 §4.1.1), so that a wrong name fails everywhere alike. */
import { createSocket } from 'node:dgram'

const NXDOMAIN = 3

export function startNameServer(port: number): Promise<{ close(): void }> {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    if (query.length < 12) return
    const answer = Buffer.from(query)
    answer[2] = (query[2]! & 0x79) | 0x80 // an answer, to the same kind of question
    answer[3] = 0x80 | NXDOMAIN
    // The question stays, whatever else the query carried (EDNS) goes.
    answer.fill(0, 6, 12)
    let end = 12
    while (end < query.length && query[end] !== 0) end += query[end]! + 1
    socket.send(answer.subarray(0, Math.min(end + 5, query.length)), from.port, from.address)
  })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, '127.0.0.1', () => resolve({ close: () => socket.close() }))
  })
}
