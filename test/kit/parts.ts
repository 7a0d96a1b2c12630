/**
 * Programs from outside that `npm run test:real` needs, each found on the machine or installed: from Debian (root or
 * `sudo`), PyPI, Maven or as a Go module, into `.cache/` wherever that is possible.
 *
 *   const wrk = await part('wrk')      // path of the program; throws MissingPart where it cannot be had
 *
 * A part that cannot be had fails the run, unless `--allow-missing NAME` named it: then the tests that ask for it by
 * {@link partOrSkip} are skipped, and the summary says so.
 */
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { debianRoot } from './debian-root.ts'
import { tryDocker } from './docker-daemon.ts'
import { envoyPath } from './envoy.ts'
import { installOnce } from './install-once.ts'
import { run } from './process.ts'

const ZIPKIN_VERSION = '3.5.1'
/** Debian's daemon is of 2020 and takes it; the next major one asks for a newer API. */
const COMPOSE_VERSION = 'v2.40.3'

/** How each part comes to be; the answer is the path of a program, or of what its comment says. */
const RECIPES = {
  envoy: envoyPath,
  /** A jar. */
  zipkin: () => maven(`io.zipkin:zipkin-server:${ZIPKIN_VERSION}:jar:exec`, `zipkin-server-${ZIPKIN_VERSION}-exec.jar`),
  prometheus: () => debian('prometheus', 'prometheus'),
  promtool: () => debian('promtool', 'prometheus'),
  openssl: () => debian('openssl', 'openssl'),
  redis: () => debian('redis-server', 'redis-server'),
  wrk: () => debian('wrk', 'wrk'),
  h2load: () => debian('h2load', 'nghttp2-client'),
  nghttp: () => debian('nghttp', 'nghttp2-client'),
  chromium: () => debian('chromium', 'chromium'),
  java: () => debian('java', 'default-jre-headless'),
  mvn: () => debian('mvn', 'maven'),
  go: async () => (await find('go', ['/usr/local/go/bin'])) ?? (await debian('go', 'golang-go')),
  h2spec: () => goProgram('github.com/summerwind/h2spec/cmd/h2spec', 'v2.2.1+incompatible'),
  ratelimit: () => goProgram('github.com/envoyproxy/ratelimit/src/service_cmd', 'v1.4.1-0.20260122083618-3fb702589d36'),
  'grpc-interop-client': () => goProgram('google.golang.org/grpc/interop/client', 'v1.85.0'),
  'grpc-interop-server': () => goProgram('google.golang.org/grpc/interop/server', 'v1.85.0'),
  'grafana-schema': grafanaSchema,
  /** The client, where a daemon answers or one can be started. */
  docker: async () => {
    const docker = await debian('docker', 'docker.io')
    await tryDocker(docker, dockerd)
    return docker
  },
  'docker-compose': composePlugin,
  'kubernetes-validate': () => python('kubernetes-validate', '1.37.0'),
  /** The folder of a Python package, for `PYTHONPATH`. */
  'opentelemetry-proto': async () => dirname(await python('opentelemetry-proto', '1.45.2')),
  curl: () => debian('curl', 'curl'),
  mmdebstrap: () => debian('mmdebstrap', 'mmdebstrap'),
  /** The tar file of a root file system. */
  'debian-systemd': systemdRoot,
} as const satisfies Record<string, () => Promise<string>>

export type PartName = keyof typeof RECIPES
export const partNames = Object.keys(RECIPES) as PartName[]

/** Names given to `--allow-missing`, handed down by `run-real.ts`. */
export const ALLOW_MISSING_VARIABLE = 'HOPWISE_ALLOW_MISSING'

export class MissingPart extends Error {
  override name = 'MissingPart'
  readonly part: PartName
  constructor(part: PartName, why: string) {
    super(`${part} cannot be had: ${why} (or allow the run without it: --allow-missing ${part})`)
    this.part = part
  }
}

const found = new Map<PartName, Promise<string>>()

export function part(name: PartName): Promise<string> {
  let path = found.get(name)
  if (path === undefined) {
    path = RECIPES[name]().catch((error: Error) => {
      throw new MissingPart(name, error.message)
    })
    found.set(name, path)
  }
  return path
}

/** Like {@link part}; where the part is missing and may be, skips the test and gives undefined. */
export async function partOrSkip(test: TestContext, name: PartName): Promise<string | undefined> {
  try {
    return await part(name)
  } catch (error) {
    if (!allowedMissing().includes(name)) throw error
    test.skip(`${name} is missing, and may be`)
    return undefined
  }
}

export function allowedMissing(): string[] {
  return (process.env[ALLOW_MISSING_VARIABLE] ?? '').split(',').filter(name => name !== '')
}

/** Path of a program on `PATH` or in one of `more`. */
async function find(program: string, more: readonly string[] = []): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...more]
  return folders.map(folder => join(folder, program)).find(path => existsSync(path))
}

async function debian(program: string, debianPackage: string): Promise<string> {
  const there = await find(program)
  if (there !== undefined) return there
  if (!existsSync('/usr/bin/apt-get')) throw new Error(`no ${program} on PATH, and no apt-get to install it`)
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  // Only one apt-get may run at a time, and none may ask. RUNLEVEL=1 keeps packages from starting their services.
  const apt = (...args: string[]) => {
    const command = [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1', 'apt-get', '-qq', '-y']
    const [program, ...rest] = [...command, '-o', 'DPkg::Lock::Timeout=300', ...args]
    return run(program!, rest, { deadlineMs: 600_000 })
  }
  const lists = installOnce('apt-lists-updated', async () => void (await apt('update')))
  await lists.catch(() => undefined)
  await apt('install', '--no-install-recommends', debianPackage)
  const installed = await find(program)
  if (installed === undefined) throw new Error(`the package ${debianPackage} has no ${program}`)
  return installed
}

export function dockerd(): Promise<string> {
  return debian('dockerd', 'docker.io')
}

/** `docker compose`, whose plugin no package carries: built, into a folder that serves as `DOCKER_CONFIG`. */
async function composePlugin(): Promise<string> {
  const go = await part('go')
  const plugin = join('cli-plugins', 'docker-compose')
  const folder = await installOnce(`docker-compose-${COMPOSE_VERSION}`, async target => {
    const { stdout } = await run(go, ['mod', 'download', '-json', `github.com/docker/compose/v2@${COMPOSE_VERSION}`], {
      cwd: target,
      deadlineMs: 300_000,
    })
    const source = join(target, 'source')
    cpSync((JSON.parse(stdout) as { Dir: string }).Dir, source, { recursive: true })
    // The module cache is read-only, and a build in it would write to it.
    chmodSync(source, 0o755)
    mkdirSync(join(target, 'cli-plugins'))
    const name = 'github.com/docker/compose/v2/internal.Version'
    const flags = ['-trimpath', '-tags', 'fsnotify', '-ldflags', `-s -w -X ${name}=${COMPOSE_VERSION}`]
    await run(go, ['build', ...flags, '-o', join(target, plugin), './cmd'], {
      cwd: source,
      env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOWORK: 'off' },
      deadlineMs: 900_000,
    })
    await run('chmod', ['-R', 'u+w', source])
    rmSync(source, { recursive: true })
  })
  return join(folder, plugin)
}

/** A Debian that systemd can run: procps has the `kill` that units name, libatomic1 is what Node links. */
async function systemdRoot(): Promise<string> {
  const mmdebstrap = await part('mmdebstrap')
  const folder = await installOnce('debian-systemd', target =>
    debianRoot(mmdebstrap, join(target, 'root.tar'), ['systemd', 'procps', 'curl', 'libatomic1']),
  )
  return join(folder, 'root.tar')
}

async function maven(artifact: string, file: string): Promise<string> {
  const mvn = await part('mvn')
  await part('java')
  const folder = await installOnce(file.replace(/\.jar$/, ''), async target => {
    await run(mvn, ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${target}`], {
      deadlineMs: 600_000,
    })
  })
  return join(folder, file)
}

/** A program of a Python package, with all it needs in a folder of its own. */
async function python(name: string, version: string): Promise<string> {
  const folder = await installOnce(`${name}-${version}`, async target => {
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', target]
    await run('python3', [...pip, `${name}==${version}`], { deadlineMs: 300_000 })
    // Else the program that pip has made does not find the packages beside it.
    const start = `#!/bin/sh\nPYTHONPATH=$(dirname "$0") exec python3 "$(dirname "$0")/bin/${name}" "$@"\n`
    writeFileSync(join(target, name), start, { mode: 0o755 })
  })
  return join(folder, name)
}

/** Reads dashboards as Grafana's own schema has them: Grafana itself, under the AGPL, is in no registry. */
async function grafanaSchema(): Promise<string> {
  const go = await part('go')
  const cwd = join(import.meta.dirname, 'grafana-schema')
  const sources = ['go.mod', 'go.sum', 'main.go'].map(file => readFileSync(join(cwd, file)))
  const version = createHash('sha256').update(Buffer.concat(sources)).digest('hex').slice(0, 12)
  const folder = await installOnce(`grafana-schema-${version}`, async target => {
    const env = { GOFLAGS: '-mod=readonly', GOWORK: 'off', CGO_ENABLED: '0' }
    await run(go, ['build', '-o', join(target, 'grafana-schema'), '.'], { cwd, env, deadlineMs: 900_000 })
  })
  return join(folder, 'grafana-schema')
}

/** Builds a Go program from its module, in a folder of its own, so that no go.mod of ours or of a parent takes part. */
async function goProgram(packagePath: string, version: string): Promise<string> {
  const go = await part('go')
  const name = packagePath.split('/').slice(-2).join('-')
  const folder = await installOnce(`go-${name}-${version}`, async target => {
    await run(go, ['install', `${packagePath}@${version}`], {
      cwd: target,
      env: { GOBIN: target, GOFLAGS: '-mod=mod', GOWORK: 'off', CGO_ENABLED: '0' },
      deadlineMs: 900_000,
    })
  })
  return join(folder, packagePath.split('/').at(-1)!)
}
