/** The running chain: a process per application and per sidecar, started together; breaking and mending them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchText, type SidecarAdmins } from '../observability/trace-store/sidecar-admins.ts'
import { startTraceStore, type TraceStore } from '../observability/trace-store/trace-store.ts'
import type { Behaviour } from './behaviour.ts'
import type { Injection } from './catalogue.ts'
import { Child } from './child.ts'
import { speakHttp2 } from './http2.ts'
import { APPLICATIONS, configurationOf, type Ports, SIDECARS } from './layout.ts'
import { MeshIdentities } from './mutual-tls.ts'
import { startNameServer } from './name-server.ts'
import type { ServiceOptions } from './service.ts'

const START_DEADLINE_MS = 30_000
/** How long a process may take to end by itself before it is killed. */
const END_MS = 600

const hopwise = join(import.meta.dirname, '..', 'sidecar', 'bin', 'hopwise')

/** Who calls whom, and how long the work of each takes. a calls b over gRPC; b traces nothing and copies no headers. */
const SERVICES: Readonly<
  Record<string, Pick<ServiceOptions, 'calls' | 'workMs' | 'background'> & Partial<Pick<ServiceOptions, 'serves'>>>
> = {
  a: { calls: [{ host: 'b' }], workMs: 1 },
  b: { serves: 'grpc', calls: [{ host: 'c', paths: ['/'] }], workMs: 2 },
  c: {
    calls: [
      { host: 'd', paths: ['/'] },
      { host: 'outside', paths: ['/rates', '/history', '/feed'] },
    ],
    workMs: 2,
    background: { host: 'outside', path: '/refresh', everyMs: 200 },
  },
  d1: { calls: [], workMs: 3 },
  d2: { calls: [], workMs: 3 },
  d3: { calls: [], workMs: 3 },
  outside: { calls: [], workMs: 3 },
}
const WITHOUT_TRACING = new Set(['b', 'outside'])

/** What tests run the chain with instead of what people see. */
export interface ChainVariant {
  /** False where something else listens on the trace store's port. */
  readonly ownTraceStore?: boolean
  /** Where the applications send spans on the trace store's port; `/v1/traces` means OTLP. */
  readonly spansPath?: '/api/v2/spans' | '/v1/traces'
  /** `OTEL_PROPAGATORS` of the applications. */
  readonly propagators?: string
  /** b and the outside host trace too. */
  readonly allTrace?: boolean
  /** Changes the configuration of a sidecar. */
  readonly configuration?: (yaml: string) => string
  /** The sidecars speak mutual TLS with each other. */
  readonly mtls?: boolean
  /** Everything that leaves a sidecar for another is HTTP/2, and so is what applications send to theirs. */
  readonly http2?: boolean
}

export class Chain {
  readonly ports: Ports
  readonly folder: string
  readonly #otel: boolean
  readonly #variant: ChainVariant
  readonly #identities: MeshIdentities | undefined
  readonly #applications = new Map<string, Child>()
  readonly #sidecars = new Map<string, Child>()
  #traceStore: TraceStore | undefined
  #nameServer: { close(): void } | undefined
  #blackHole: Child | undefined
  /** Those that do not behave. */
  readonly #ill = new Set<string>()

  constructor(ports: Ports, otel: boolean, variant: ChainVariant = {}) {
    this.ports = ports
    this.#otel = otel
    this.#variant = variant
    this.folder = mkdtempSync(join(tmpdir(), 'hopwise-demo-'))
    this.#identities = variant.mtls === true ? new MeshIdentities(this.folder) : undefined
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }))
  }

  /** Resolves when everything answers; rejects with the last words of what does not. */
  async start(): Promise<void> {
    mkdirSync(this.#logs, { recursive: true })
    const starting: Promise<unknown>[] = []
    for (const name of SIDECARS) starting.push(this.#startSidecar(name))
    for (const name of APPLICATIONS) starting.push(this.#startApplication(name))
    starting.push(
      startNameServer(this.ports.dns).then(server => {
        this.#nameServer = server
      }),
    )
    if (this.#variant.ownTraceStore !== false) {
      starting.push(
        startTraceStore({ port: this.ports.traceStore, sidecars: this.admins }).then(store => {
          this.#traceStore = store
        }),
      )
    }
    const hole = [join(import.meta.dirname, 'black-hole.ts'), String(this.ports.blackHole)]
    this.#blackHole = new Child('archive', process.execPath, hole, this.#logs)
    await Promise.all(starting)
  }

  /** Of all sidecars, running or not. */
  get admins(): SidecarAdmins {
    return new Map(SIDECARS.map(name => [name, `http://127.0.0.1:${this.ports.of[name]!.admin}`]))
  }

  get #logs(): string {
    return join(this.folder, 'logs')
  }

  get traceStoreUrl(): string {
    return this.#traceStore?.url ?? ''
  }

  /** A process that ended by itself; undefined while all is well. */
  get dead(): Child | undefined {
    return [...this.#sidecars.values(), ...this.#applications.values()].find(child => child.died)
  }

  async inject(injections: readonly Injection[]): Promise<void> {
    const behaviours = new Map<string, Behaviour>()
    const killed: Promise<void>[] = []
    for (const injection of injections) {
      if (injection.kind === 'kill') {
        const children = injection.process === 'sidecar' ? this.#sidecars : this.#applications
        killed.push(children.get(injection.instance)!.kill())
      } else if (injection.kind === 'behave') {
        const { instance, behaviour } = injection
        behaviours.set(instance, { ...behaviours.get(instance), ...behaviour })
      }
    }
    // Who is to swallow a failure must be ready for the first one.
    const control = (swallowers: boolean) =>
      Promise.all(
        [...behaviours]
          .filter(([, { swallow = false }]) => swallow === swallowers)
          .map(([instance, behaviour]) => this.#control(instance, behaviour)),
      )
    await control(true)
    await Promise.all([...killed, control(false)])
  }

  /** Everybody behaves, and whoever was killed is back. */
  async mend(): Promise<void> {
    const mending: Promise<void>[] = []
    for (const instance of [...this.#ill]) mending.push(this.#control(instance, {}))
    for (const [name, child] of this.#sidecars) if (!child.running) mending.push(this.#startSidecar(name))
    for (const [name, child] of this.#applications) if (!child.running) mending.push(this.#startApplication(name))
    await Promise.all(mending)
  }

  async stop(): Promise<void> {
    const children = [...this.#sidecars.values(), ...this.#applications.values()]
    this.#blackHole && children.push(this.#blackHole)
    const all = Promise.all(children.map(child => child.kill('SIGTERM')))
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<'too long'>(resolve => {
      timer = setTimeout(() => resolve('too long'), END_MS)
    })
    if ((await Promise.race([all, tooLong])) === 'too long') await Promise.all(children.map(child => child.kill()))
    clearTimeout(timer)
    this.#nameServer?.close()
    await this.#traceStore?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #startSidecar(name: string): Promise<void> {
    const path = join(this.folder, `${name}.yaml`)
    const { configuration = (yaml: string) => yaml } = this.#variant
    const own = configurationOf(name, this.ports, this.#logs)
    const text = configuration(this.#variant.http2 === true ? speakHttp2(own) : own)
    writeFileSync(path, this.#identities?.secure(text, name) ?? text)
    const args = ['run', '-c', path, '--no-watch', '-l', 'warning']
    const child = new Child(`${name}-sidecar`, hopwise, args, this.#logs)
    this.#sidecars.set(name, child)
    await child.waitUntil(() => answers(this.ports.of[name]!.admin), START_DEADLINE_MS)
  }

  async #startApplication(name: string): Promise<void> {
    const { app, ops, egress } = this.ports.of[name]!
    const traced = this.#otel && (this.#variant.allTrace === true || !WITHOUT_TRACING.has(name))
    const options: ServiceOptions = {
      serves: 'http',
      http2: this.#variant.http2 === true,
      ...SERVICES[name]!,
      name: `${name}-app`,
      port: app,
      opsPort: ops,
      egressPort: egress,
      zipkinUrl: traced ? `http://127.0.0.1:${this.ports.traceStore}${this.#variant.spansPath ?? '/api/v2/spans'}` : '',
      propagators: this.#variant.propagators ?? 'b3multi',
    }
    const args = [join(import.meta.dirname, 'service.ts'), JSON.stringify(options)]
    const child = new Child(`${name}-app`, process.execPath, args, this.#logs)
    this.#applications.set(name, child)
    this.#ill.delete(name)
    await child.waitUntil(() => answers(ops), START_DEADLINE_MS)
  }

  async #control(instance: string, behaviour: Behaviour): Promise<void> {
    const { ops } = this.ports.of[instance]!
    const text = JSON.stringify(behaviour)
    await new Promise<void>((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port: ops, path: '/control', method: 'POST' }, response => {
        response.resume()
        if (response.statusCode === 200) response.on('end', resolve)
        else reject(new Error(`${instance}: /control answered ${response.statusCode}`))
      })
      outgoing.on('error', reject)
      outgoing.end(text)
    })
    if (text === '{}') this.#ill.delete(instance)
    else this.#ill.add(instance)
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    await fetchText(`http://127.0.0.1:${port}/ready`)
    return true
  } catch {
    return false
  }
}
