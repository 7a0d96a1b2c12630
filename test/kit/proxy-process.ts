/** What a test does with a running proxy, whichever it is: Envoy and Hopwise answer on the same admin endpoints. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchRaw } from './http-client.ts'
import type { TestProcess } from './process.ts'

const folders: string[] = []
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that goes when the test process ends. */
export function temporaryFolder(prefix = 'hopwise-test-'): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  folders.push(folder)
  return folder
}

export function temporaryFile(name: string, content: string): string {
  const path = join(temporaryFolder(), name)
  writeFileSync(path, content)
  return path
}

export class ProxyProcess {
  readonly process: TestProcess
  readonly adminPort: number
  readonly configPath: string

  constructor(process: TestProcess, adminPort: number, configPath: string) {
    this.process = process
    this.adminPort = adminPort
    this.configPath = configPath
  }

  /** Body of an admin endpoint; throws unless it answers 200. */
  async admin(path: string, method = 'GET'): Promise<string> {
    const response = await fetchRaw(this.adminPort, { path, method })
    if (response.status !== 200) throw new Error(`admin ${path}: ${response.status} ${response.text}`)
    return response.text
  }

  /** Counters and gauges by name (histograms are left out); `filter` is a regular expression on names. */
  async stats(filter = ''): Promise<Map<string, number>> {
    const stats = new Map<string, number>()
    const query = filter === '' ? '' : `?filter=${encodeURIComponent(filter)}`
    for (const line of (await this.admin(`/stats${query}`)).split('\n')) {
      const match = /^(\S.*): (-?\d+)$/.exec(line)
      if (match !== null) stats.set(match[1]!, Number(match[2]))
    }
    return stats
  }

  /** One counter or gauge; 0 where it does not exist. */
  async stat(name: string): Promise<number> {
    return (await this.stats()).get(name) ?? 0
  }

  /** Until `/ready` says that listeners accept. */
  async waitReady(deadlineMs = 60_000): Promise<void> {
    await this.process.waitUntil(
      async () => {
        try {
          return (await fetchRaw(this.adminPort, { path: '/ready' })).status === 200
        } catch {
          return false
        }
      },
      'readiness',
      deadlineMs,
    )
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    return await this.process.stop(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop('SIGKILL')
  }
}

/** Adds an `admin` section on `port` where a YAML configuration has none of its own. */
export function withAdmin(yaml: string, port: number): string {
  if (/^admin:/m.test(yaml)) return yaml
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}\n${yaml}`
}
