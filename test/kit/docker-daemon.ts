/**
 * A Docker daemon for tests: the one that runs here, or one started for them, from Debian's `docker.io`, as root.
 *
 * One that is started keeps what it has under `.cache/docker` and is the first process of a PID namespace of its own, so
 * that nothing of it, no container and no containerd, outlives the test process, however that ends. Its bridge and its
 * iptables rules stay, as after any other run of Docker.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './install-once.ts'
import { run, TestProcess } from './process.ts'

const START_DEADLINE_MS = 60_000
const STOP_MS = 30_000

export interface DockerDaemon {
  /** For the environment of `docker`. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

/** Whether a daemon answers to `docker` with the environment as it is (and `env`). */
export async function dockerAnswers(docker: string, env: Readonly<Record<string, string>> = {}): Promise<boolean> {
  const asked = TestProcess.start(docker, ['version', '--format', '{{.Server.Version}}'], { env })
  return (await asked.exited) === 0
}

/** `docker` and `dockerd` are paths of the programs. Throws with the daemon's words where it does not start. */
export async function startDocker(docker: string, dockerd: () => Promise<string>): Promise<DockerDaemon> {
  if (await dockerAnswers(docker)) return { env: {}, stop: async () => {} }
  if (process.getuid?.() !== 0) throw new Error('no Docker daemon answers, and only root can start one')
  const program = await dockerd()
  // Short, for the path of a Unix socket is.
  const folder = mkdtempSync(join(tmpdir(), 'dockerd-'))
  const host = `unix://${folder}/docker.sock`
  const data = join(cacheFolder, 'docker')
  mkdirSync(data, { recursive: true })
  const daemon = TestProcess.start(
    'unshare',
    [
      ...['--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', program, '--host', host, '--data-root', data],
      ...['--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'pid'), '--log-level', 'warn'],
    ],
    { name: 'dockerd' },
  )
  const env = { DOCKER_HOST: host }
  const stop = async () => {
    // unshare itself takes no notice of signals: it is its child that is to end, in order.
    const children = `/proc/${daemon.pid}/task/${daemon.pid}/children`
    const child = existsSync(children) ? Number.parseInt(readFileSync(children, 'utf8'), 10) : Number.NaN
    if (daemon.exitCode === undefined && Number.isInteger(child)) process.kill(child, 'SIGTERM')
    const timer = setTimeout(() => daemon.signal('SIGKILL'), STOP_MS)
    await daemon.exited
    clearTimeout(timer)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await daemon.waitUntil(
      () => existsSync(join(folder, 'docker.sock')) && dockerAnswers(docker, env),
      'an answer',
      START_DEADLINE_MS,
    )
  } catch (error) {
    await stop()
    throw error
  }
  return { env, stop }
}

/** Throws where no daemon runs and none can be started. */
export async function tryDocker(docker: string, dockerd: () => Promise<string>): Promise<void> {
  const daemon = await startDocker(docker, dockerd)
  await daemon.stop()
  await run(docker, ['--version'])
}
