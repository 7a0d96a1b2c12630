/**
 * A machine that systemd runs: a container of Debian's packages whose first process is systemd, with this repository in
 * `/opt/hopwise` as somebody would install it, but for reading only.
 */
import { join } from 'node:path'
import type { Docker } from './docker-images.ts'
import { repository } from './install-once.ts'
import { run, TestProcess } from './process.ts'
import { temporaryFile } from './proxy-process.ts'
import { waitFor } from './wait-for.ts'

const NAME = 'hopwise-systemd'
const IMAGE = 'hopwise/systemd:test'
const BOOT_MS = 120_000
const COMMAND_MS = 120_000

/**
 * systemd keeps its services in control groups, which Docker mounts read-only: those of the container's own namespace are
 * made writable.
 */
const FIRST_PROCESS = `
grep -o ' /sys/fs/cgroup[^ ]* ' /proc/self/mountinfo | while read -r path; do mount -o remount,bind,rw "$path"; done
exec /lib/systemd/systemd`

/** Not `--privileged`: systemd mounts, and needs no more than that. Port 80 is for the privileged, unlike in Docker. */
const OPTIONS = [
  ...['--cap-add', 'SYS_ADMIN', '--security-opt', 'apparmor=unconfined', '--cgroupns', 'private'],
  ...['--tmpfs', '/run', '--tmpfs', '/run/lock', '--tmpfs', '/tmp', '--env', 'container=docker'],
  ...['--sysctl', 'net.ipv4.ip_unprivileged_port_start=1024', '--stop-signal', 'SIGRTMIN+3', '--network', 'none'],
]

export class SystemdMachine {
  readonly #docker: Docker

  private constructor(docker: Docker) {
    this.#docker = docker
  }

  /** `tar` has the root file system. What a run that was ended from outside has left goes away first. */
  static async boot(docker: Docker, tar: string): Promise<SystemdMachine> {
    const machine = new SystemdMachine(docker)
    await machine.remove()
    await machine.#client('import', tar, IMAGE)
    // One by one, as far as they belong to the package: the folder they are in may be for its owner only.
    const parts = ['package.json', 'README.md', 'sidecar', 'compose', 'node_modules']
    const mounts = parts.flatMap(name => ['--volume', `${join(repository, name)}:/opt/hopwise/${name}:ro`])
    await machine.#client('run', '--detach', '--name', NAME, ...OPTIONS, ...mounts, IMAGE, 'sh', '-c', FIRST_PROCESS)
    await machine.#booted()
    return machine
  }

  async reboot(): Promise<void> {
    await this.#client('restart', NAME)
    await this.#booted()
  }

  /** With its image. */
  async remove(): Promise<void> {
    for (const args of [
      ['rm', '--force', '--volumes', NAME],
      ['image', 'rm', '--force', IMAGE],
    ]) {
      await this.#client(...args).catch(() => {})
    }
  }

  /** A shell in the repository's folder runs the lines, stopping at the first that fails; gives what they print. */
  async sh(script: string): Promise<string> {
    const { stdout } = await run(this.#docker.docker, this.#shell(script), {
      env: this.#docker.env,
      deadlineMs: COMMAND_MS,
    }).catch(async (error: Error) => {
      const journal = await this.#client('exec', NAME, 'journalctl', '--no-pager', '--lines', '60', '--output', 'cat')
      throw new Error(`${error.message}\njournal:\n${journal}`)
    })
    return stdout.trim()
  }

  /** Whether the lines end well. */
  async can(script: string): Promise<boolean> {
    return (await this.start(script).exited) === 0
  }

  /** The lines as a process that runs beside the test. */
  start(script: string): TestProcess {
    return TestProcess.start(this.#docker.docker, this.#shell(script), { env: this.#docker.env, name: script })
  }

  async write(path: string, content: string): Promise<void> {
    const file = temporaryFile('file', content)
    await this.sh(`mkdir -p "$(dirname ${path})"`)
    await this.#client('cp', file, `${NAME}:${path}.new`)
    // As editors do, and readable for whatever user a service gets.
    await this.sh(`chmod 644 ${path}.new && mv ${path}.new ${path}`)
  }

  /** Properties of a unit, as `systemctl show` has them. */
  async show(unit: string, ...names: readonly string[]): Promise<Record<string, string>> {
    const text = await this.sh(`systemctl show ${unit} ${names.map(name => `-p ${name}`).join(' ')}`)
    return Object.fromEntries(text.split('\n').map(line => line.split(/=(.*)/s).slice(0, 2) as [string, string]))
  }

  #shell(script: string): string[] {
    return ['exec', '--workdir', '/opt/hopwise', NAME, 'bash', '-euo', 'pipefail', '-c', script]
  }

  async #booted(): Promise<void> {
    const state = () => this.start('systemctl is-system-running --wait || true')
    await waitFor(
      async () => {
        const asked = state()
        await asked.exited
        return /^(running|degraded)$/m.test(asked.stdout)
      },
      { deadlineMs: BOOT_MS, everyMs: 200, what: 'systemd' },
    ).catch(async (error: Error) => {
      throw new Error(`${error.message}:\n${await this.#client('logs', NAME)}`)
    })
  }

  async #client(...args: string[]): Promise<string> {
    const { output } = await run(this.#docker.docker, args, { env: this.#docker.env, deadlineMs: COMMAND_MS })
    return output
  }
}
