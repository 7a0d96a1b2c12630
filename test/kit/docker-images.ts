/**
 * The base images of `compose/`, made on a machine that reaches no image registry, under the names that the files there
 * ask for: of Debian's packages, the Node and npm of npm packages, Go as it is installed, and Zipkin from Maven. What is
 * there already (pulled, or made earlier of the same lock files) is left alone. Images of Node and Go carry what the lock
 * files ask for, so that `npm ci` and `go mod download` in a build need no network.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { debianRoot } from './debian-root.ts'
import { repository } from './install-once.ts'
import { part } from './parts.ts'
import { run } from './process.ts'

const DEBIAN = 'debian:bookworm-slim'
/** npm of the image; the lock file is of its time. */
const NPM_VERSION = '12'
const LABEL = 'hopwise.local-base'
const SLOW_MS = 600_000

export interface Docker {
  readonly docker: string
  readonly env: Readonly<Record<string, string>>
}

/** By its key in `compose.yaml` and the Dockerfiles: the name with its tag. */
export interface BaseNames {
  readonly node: string
  readonly golang: string
  readonly zipkin: string
  readonly prometheus: string
}

/** As the files of `compose/` name them. */
export function baseNames(): BaseNames {
  const files = ['compose/compose.yaml', 'compose/Dockerfile', 'demo-services/go/Dockerfile']
  const text = files.map(file => readFileSync(join(repository, file), 'utf8')).join('\n')
  const name = (pattern: RegExp) => {
    const found = pattern.exec(text)?.[0]
    if (found === undefined) throw new Error(`${files.join(', ')} name no image like ${pattern}`)
    return found
  }
  return {
    node: name(/\bnode:\d[\w.-]*/),
    golang: name(/\bgolang:\d[\w.-]*/),
    zipkin: name(/\bopenzipkin\/zipkin:[\w.-]+/),
    prometheus: name(/\bprom\/prometheus:[\w.-]+/),
  }
}

/** Makes what is missing. Steps that wait for the network and steps that compute run side by side. */
export async function makeBaseImages(docker: Docker): Promise<void> {
  const names = baseNames()
  const maker = new ImageMaker(docker)
  try {
    await Promise.all([
      maker.debian(),
      maker.make(names.node, 'lock', folder => maker.node(folder)),
      maker.make(names.golang, 'lock', folder => maker.golang(folder)),
      maker.make(names.zipkin, 'any', folder => maker.zipkin(folder)),
      maker.make(names.prometheus, 'any', folder => maker.prometheus(folder)),
    ])
  } finally {
    maker.close()
  }
}

class ImageMaker {
  readonly #docker: Docker
  readonly #folder = mkdtempSync(join(tmpdir(), 'hopwise-images-'))
  readonly #locks = lockHash()
  #debian: Promise<void> | undefined

  constructor(docker: Docker) {
    this.#docker = docker
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** The image unless it is there. `prepare` fills a folder and gives the Dockerfile's lines below `FROM debian`. */
  async make(name: string, labelled: 'lock' | 'any', prepare: (folder: string) => Promise<string>): Promise<void> {
    const label = labelled === 'lock' ? this.#locks : 'any'
    if (this.#isThere(name, label)) return
    const folder = join(this.#folder, name.replaceAll(/\W/g, '-'))
    mkdirSync(folder)
    const [lines] = await Promise.all([prepare(folder), this.debian()])
    writeFileSync(join(folder, 'Dockerfile'), `FROM ${DEBIAN}\n${lines}`)
    await this.#run(['build', '--quiet', '--label', `${LABEL}=${label}`, '--tag', name, folder])
  }

  debian(): Promise<void> {
    this.#debian ??= this.#makeDebian()
    return this.#debian
  }

  async #makeDebian(): Promise<void> {
    if (this.#isThere(DEBIAN, 'any')) return
    const tar = join(this.#folder, 'debian.tar')
    // libatomic1: Node links it.
    await debianRoot(await part('mmdebstrap'), tar, ['ca-certificates', 'libatomic1'])
    await this.#run(['import', '--change', `LABEL ${LABEL}=any`, tar, DEBIAN])
  }

  async node(folder: string): Promise<string> {
    const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      optionalDependencies: Record<string, string>
    }
    const platform = `node-linux-${process.arch}`
    const packages = [`${platform}@${manifest.optionalDependencies[platform]}`, `npm@${NPM_VERSION}`]
    writeFileSync(join(folder, 'package.json'), '{}')
    const npm = async (...args: string[]) =>
      void (await run('npm', ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', ...args], {
        cwd: folder,
        deadlineMs: SLOW_MS,
      }))
    const warm = async () => {
      const project = join(folder, 'project')
      mkdirSync(project)
      for (const file of ['package.json', 'package-lock.json']) cpSync(join(repository, file), join(project, file))
      await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--cache', join(folder, 'npm-cache')], {
        cwd: project,
        deadlineMs: SLOW_MS,
      })
      rmSync(project, { recursive: true })
    }
    await Promise.all([npm('install', ...packages), warm()])
    return `COPY node_modules/${platform}/bin/node /usr/local/bin/node
COPY node_modules/npm /usr/local/lib/node_modules/npm
COPY npm-cache /root/.npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV npm_config_prefer_offline=true npm_config_update_notifier=false
CMD ["node"]
`
  }

  async golang(folder: string): Promise<string> {
    const go = await part('go')
    const root = (await run(go, ['env', 'GOROOT'])).stdout.trim()
    const unused = ['test', 'api', 'doc'].map(name => join(root, name))
    cpSync(root, join(folder, 'go'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: path => !unused.includes(path) && !path.endsWith('_test.go'),
    })
    const modules = join(folder, 'mod')
    await run(go, ['mod', 'download'], {
      cwd: join(repository, 'demo-services', 'go'),
      env: { GOMODCACHE: modules, GOFLAGS: '-modcacherw', GOWORK: 'off' },
      deadlineMs: SLOW_MS,
    })
    return `COPY go /usr/local/go
COPY mod /go/pkg/mod
ENV GOPATH=/go GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-modcacherw PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
`
  }

  async zipkin(folder: string): Promise<string> {
    const [jar, java] = await Promise.all([part('zipkin'), part('java')])
    cpSync(jar, join(folder, 'zipkin.jar'))
    // With what its links point to: Debian keeps a Java's configuration in /etc.
    cpSync(dirname(dirname(realpathSync(java))), join(folder, 'jre'), {
      recursive: true,
      dereference: true,
      filter: path => !/\/(jmods|man|legal|include|src\.zip|demo)$/.test(path),
    })
    return `COPY jre /opt/jre
COPY zipkin.jar /zipkin/zipkin.jar
USER 65532:65532
EXPOSE 9411
HEALTHCHECK --interval=3s --timeout=5s --start-period=90s --retries=5 CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9411; printf 'GET /health HTTP/1.0\\\\r\\\\n\\\\r\\\\n' >&3; grep -q UP <&3"]
ENTRYPOINT ["/bin/sh", "-c", "exec /opt/jre/bin/java $JAVA_OPTS -jar /zipkin/zipkin.jar"]
`
  }

  async prometheus(folder: string): Promise<string> {
    cpSync(await part('prometheus'), join(folder, 'prometheus'), { dereference: true })
    cpSync(await part('promtool'), join(folder, 'promtool'), { dereference: true })
    return `COPY prometheus promtool /bin/
RUN mkdir -p /prometheus /etc/prometheus && chown 65534:65534 /prometheus
USER 65534:65534
EXPOSE 9090
VOLUME ["/prometheus"]
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
`
  }

  /** Pulled from somewhere (no label), or made here, and of what is wanted now. */
  #isThere(name: string, label: string): boolean {
    const { docker, env } = this.#docker
    const format = `{{index .Config.Labels "${LABEL}"}}`
    const { status, stdout } = spawnSync(docker, ['image', 'inspect', '--format', format, name], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    })
    const found = stdout.trim()
    return status === 0 && (found === '' || found === label)
  }

  async #run(args: readonly string[]): Promise<void> {
    // The builder of old: the other needs a plugin of the client's, and a base image is only copies.
    const env = { ...this.#docker.env, DOCKER_BUILDKIT: '0' }
    await run(this.#docker.docker, args, { env, deadlineMs: SLOW_MS })
  }
}

function lockHash(): string {
  const hash = createHash('sha256')
  for (const file of ['package-lock.json', 'demo-services/go/go.sum']) hash.update(readFileSync(join(repository, file)))
  return hash.digest('hex').slice(0, 16)
}
