/** Docker as the tests of `compose/` and of the pages want it: a daemon, `docker compose`, and the base images. */
import { execFileSync, spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { startDocker } from './docker-daemon.ts'
import { type Docker, makeBaseImages } from './docker-images.ts'
import { dockerd, part } from './parts.ts'

/** A daemon, with what `compose/` needs, for the client `docker`; `stop()` ends what had to be started. */
export async function withDocker(docker: string): Promise<Docker & { stop(): Promise<void> }> {
  const daemon = await startDocker(docker, dockerd)
  try {
    const [plugin] = await Promise.all([part('docker-compose'), makeBaseImages({ docker, env: daemon.env })])
    const env = { ...daemon.env, DOCKER_CONFIG: dirname(dirname(plugin)) }
    return { docker, env, stop: () => daemon.stop() }
  } catch (error) {
    await daemon.stop()
    throw error
  }
}

/** What `docker … inspect` says of each, one line per name. */
export function inspect(
  { docker, env }: Docker,
  kind: 'image' | 'container',
  format: string,
  ...names: readonly string[]
): string[] {
  const output = execFileSync(docker, [kind, 'inspect', '--format', format, ...names], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  return output.trim().split('\n')
}

/** Runs commands as a shell does, stopping at the first that fails; gives what they printed, or throws with it. */
export function shell(script: string, cwd: string, env: Readonly<Record<string, string>>): string {
  const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 600_000,
  })
  if (status !== 0) throw new Error(`${script}\nended with ${status}:\n${stdout}${stderr}`)
  return stdout
}
