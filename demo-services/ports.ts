/** Ports for everything the demo starts, all on loopback: free ones, or a row from a base that the user names. */
import { createServer } from 'node:net'

/**
 * Below the range that the kernel gives to outgoing connections (32768 on Linux), so that what is free now is not taken by
 * the next connection before its process has started; and apart from the ports of the tests (`test/kit/free-port.ts`).
 */
const FIRST = 10_080
const LAST = 11_999

export class PortInUse extends Error {
  override name = 'PortInUse'
}

/** `count` ports nobody listens on: from `base` upwards, or anywhere when it is 0. Throws {@link PortInUse}. */
export async function choosePorts(count: number, base: number): Promise<number[]> {
  if (base > 0) {
    const ports = Array.from({ length: count }, (_, i) => base + i)
    for (const port of ports) {
      if (!(await isFree(port))) throw new PortInUse(`port ${port} is in use; try another --ports BASE`)
    }
    return ports
  }
  const ports = new Set<number>()
  for (let tries = 0; ports.size < count; tries++) {
    if (tries > 50 * count) throw new PortInUse(`no ${count} free ports between ${FIRST} and ${LAST}`)
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (!ports.has(port) && (await isFree(port))) ports.add(port)
  }
  return [...ports]
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
