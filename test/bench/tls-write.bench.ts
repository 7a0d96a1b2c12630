/**
 * What does a 1 MiB response cost below the codecs under TLS? A connection writes a head with the first bytes of the body
 * behind it, then the rest as a reader hands it on: 256 KiB at a time, from one buffer, waiting when it is told to.
 *
 * With a corked head and body, and with buffers that have to wait given away, it cost 609 µs; now 425 (medians).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import tls from 'node:tls'
import { CertificateAuthority } from '../../demo-services/certificate-authority.ts'
import { systemClock } from '../../sidecar/base/clock.ts'
import { TimerWheel } from '../../sidecar/base/timer-wheel.ts'
import { heldWrites } from '../../sidecar/transport/connection.ts'
import { connected } from '../kit/connected.ts'

const BODY = 1024 * 1024
const CHUNK = 256 * 1024
const WARM_UP = 300
const RESPONSES = 1000

if (process.argv[2] === 'drain') {
  const { chain, key } = new CertificateAuthority().issue({ dns: ['bench.test'] })
  const server = tls.createServer({ cert: chain, key }, socket => socket.on('error', () => {}).resume())
  server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as { port: number }).port}\n`))
} else await measure()

async function measure(): Promise<void> {
  const drain = spawn(process.execPath, [import.meta.filename, 'drain'], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const [line] = (await once(drain.stdout!, 'data')) as [Buffer]
    await run(Number(line))
  } finally {
    end(drain)
  }
}

async function run(port: number): Promise<void> {
  const timers = new TimerWheel(systemClock)
  let above = false
  let resume: (() => void) | undefined
  const handler = {
    onConnected() {},
    onData() {},
    onEnd() {},
    onBackpressure(isAbove: boolean) {
      above = isAbove
      if (above) return
      resume?.()
      resume = undefined
    },
    onClose() {},
  }
  const connection = await connected(port, handler, timers)
  let buffer = Buffer.alloc(CHUNK, 'x')
  const hand = (size: number): Promise<void> | undefined => {
    const held = heldWrites.count
    connection.write(size === CHUNK ? buffer : buffer.subarray(0, size))
    if (heldWrites.count !== held) buffer = Buffer.allocUnsafeSlow(CHUNK)
    if (!above) return undefined
    return new Promise(resolve => {
      resume = resolve
    })
  }
  const respond = async () => {
    connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${BODY}\r\n\r\n`)
    let left = BODY
    for (let size = 200_000; left > 0; size = Math.min(CHUNK, left)) {
      left -= size
      await hand(size)
    }
  }
  for (let i = 0; i < WARM_UP; i++) await respond()
  const before = process.cpuUsage()
  for (let i = 0; i < RESPONSES; i++) await respond()
  const { user, system } = process.cpuUsage(before)
  console.log(
    `${((user + system) / RESPONSES).toFixed(0)} µs of CPU a response (${(user / RESPONSES).toFixed(0)} user)`,
  )
  connection.close()
  timers.close()
}

function end(child: ChildProcess): void {
  child.kill('SIGKILL')
}
