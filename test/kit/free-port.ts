import { createServer } from 'node:net'

/**
 * Below the range the kernel gives to port 0 and to outgoing connections (32768 on Linux): what is free here when it was
 * tried stays free unless another test picks the same number, which the random pick makes unlikely.
 */
const FIRST = 12_000
const LAST = 32_000
const given = new Set<number>()

/** Ports that nobody listens on. No call gives a port that an earlier one gave. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (given.has(port) || !(await bindable(port))) continue
    given.add(port)
    ports.push(port)
  }
  return ports
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!
}

function bindable(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
