/**
 * A port that never accepts a connection: it listens, fills its own queue, and blocks for good, so that the kernel drops
 * whatever else comes. Stands for a host behind a firewall that swallows packets; loopback offers no other.
 */
import { connect, createServer } from 'node:net'

const port = Number(process.argv[2])
const server = createServer()
server.listen({ port, host: '127.0.0.1', backlog: 1 }, () => {
  for (let i = 0; i < 4; i++) connect(port, '127.0.0.1').on('error', () => {})
  process.stdout.write('ready\n')
  process.nextTick(block)
})

function block(): void {
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  const parent = process.ppid
  // A blocked process hears of nothing, so it has to look whether it still has a parent.
  while (process.ppid === parent) Atomics.wait(nothing, 0, 0, 300)
  process.exit()
}
