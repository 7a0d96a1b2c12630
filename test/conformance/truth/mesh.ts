/** A running chain: four sidecars, their applications, and all that the sidecars say. */
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'
import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'
import { BlackHole } from '../../kit/black-hole.ts'
import { freePorts } from '../../kit/free-port.ts'
import { startHopwise } from '../../kit/hopwise.ts'
import { TestProcess } from '../../kit/process.ts'
import type { ProxyProcess } from '../../kit/proxy-process.ts'
import { waitFor } from '../../kit/wait-for.ts'
import type { ApplicationsOptions, Control, Copies, Reached } from './applications.ts'
import { CHAIN, type Hop } from './faults.ts'
import { IMPOSTOR, type MeshPorts, type ServicePorts, sidecarConfig } from './sidecar-config.ts'

/** A sidecar remembers so many; a batch has to stay well below. */
const MAX_ENTRIES = 10_000

const DOOR = join(import.meta.dirname, 'door.ts')

/** Eight processes start at once, beside whatever else the machine does. */
const START_DEADLINE_MS = 60_000

export interface Evidence {
  readonly entries: readonly FailureEntry[]
  /** By how much `hopwise_failures_total` rose, by sidecar and role. */
  readonly counted: ReadonlyMap<string, number>
}

export interface MeshOptions {
  readonly copies: Copies
  /** Starts the sidecar of a hop where it is not to be Hopwise. */
  readonly sidecars?: Partial<Record<Hop, (yaml: string, adminPort: number) => Promise<ProxyProcess>>>
  /** Worker threads of each sidecar. */
  readonly workers?: number
  /** Sidecars speak HTTP/2 with each other. */
  readonly http2?: boolean
  /** Over that, applications speak gRPC with each other. */
  readonly grpc?: boolean
}

export class Mesh {
  readonly ports: MeshPorts
  readonly copies: Copies
  readonly #applications: TestProcess
  readonly #blackHole: BlackHole
  readonly sidecars: ReadonlyMap<Hop, ProxyProcess>
  /** Sidecars that can be asked for failures. */
  readonly #hopwise: readonly Hop[]
  readonly #lastSeq = new Map<Hop, number>()
  #counted: ReadonlyMap<string, number> = new Map()

  private constructor(
    ports: MeshPorts,
    copies: Copies,
    applications: TestProcess,
    blackHole: BlackHole,
    sidecars: ReadonlyMap<Hop, ProxyProcess>,
    hopwise: readonly Hop[],
  ) {
    this.ports = ports
    this.copies = copies
    this.#applications = applications
    this.#blackHole = blackHole
    this.sidecars = sidecars
    this.#hopwise = hopwise
  }

  static async start({ copies, sidecars = {}, workers = 1, grpc = false, http2 = grpc }: MeshOptions): Promise<Mesh> {
    const ports = await choosePorts()
    const authority = new CertificateAuthority('impostors')
    const authorities = { impostors: authority.certificate, other: new CertificateAuthority('other').certificate }
    const { chain, key } = authority.issue({ dns: [IMPOSTOR] })
    const options: ApplicationsOptions = { ports, copies, grpc, impostor: { chain, key } }
    const path = join(import.meta.dirname, 'applications.ts')
    const applications = TestProcess.start(process.execPath, [path, JSON.stringify(options)], { name: 'applications' })
    const hopwise = CHAIN.filter(name => sidecars[name] === undefined)
    const [, blackHole, ...proxies] = await Promise.all([
      applications.waitForLine('ready', START_DEADLINE_MS),
      BlackHole.start(ports.blackHole),
      ...CHAIN.map(name => {
        const yaml = sidecarConfig(name, ports, authorities, { http2, grpc, door: sidecars[name] === undefined })
        const adminPort = ports.of[name].admin
        return sidecars[name]?.(yaml, adminPort) ?? startSidecar(yaml, adminPort, workers)
      }),
    ])
    const mesh = new Mesh(
      ports,
      copies,
      applications,
      blackHole,
      new Map(CHAIN.map((name, i) => [name, proxies[i]!])),
      hopwise,
    )
    await mesh.takeEvidence()
    return mesh
  }

  async control(control: Control): Promise<void> {
    await this.#askApplications('POST', JSON.stringify(control))
  }

  /** Which requests that somebody is to hang on have come to which applications since the last call. */
  async takeReached(): Promise<readonly Reached[]> {
    return JSON.parse(await this.#askApplications('GET')) as Reached[]
  }

  #askApplications(method: 'GET' | 'POST', body = ''): Promise<string> {
    return new Promise((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port: this.ports.control, method }, response => {
        text(response).then(resolve, reject)
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  /** No request is in flight at any sidecar. */
  async idle(): Promise<void> {
    const busy = async (name: Hop) => {
      const stats = await this.sidecars.get(name)!.admin('/stats?filter=gress.downstream_rq_active')
      return / [1-9]/.test(stats)
    }
    await waitFor(async () => !(await Promise.all(this.#hopwise.map(busy))).includes(true), {
      deadlineMs: 10_000,
      what: 'sidecars without requests',
    })
  }

  /** What the sidecars say of the time since the last call. */
  async takeEvidence(): Promise<Evidence> {
    const entries: FailureEntry[] = []
    const counted = new Map<string, number>()
    for (const name of this.#hopwise) {
      const sidecar = this.sidecars.get(name)!
      const last = this.#lastSeq.get(name) ?? 0
      let counts = await roleCounts(sidecar)
      let fresh: readonly FailureEntry[]
      // Of one moment only if nothing was counted between the two answers.
      for (;;) {
        const { failures } = JSON.parse(await sidecar.admin(`/failures?format=json&limit=${MAX_ENTRIES}`)) as {
          failures: FailureEntry[]
        }
        fresh = failures.filter(entry => entry.seq > last)
        const again = await roleCounts(sidecar)
        if (JSON.stringify([...again]) === JSON.stringify([...counts])) break
        counts = again
      }
      if (fresh.length > 0 && fresh[0]!.seq !== last + 1) {
        throw new Error(`${name} has forgotten ${fresh[0]!.seq - last - 1} failures: the batch was too large`)
      }
      entries.push(...fresh)
      this.#lastSeq.set(name, fresh.at(-1)?.seq ?? last)
      for (const [role, count] of counts) counted.set(`${name} ${role}`, count)
    }
    const before = this.#counted
    this.#counted = counted
    return { entries, counted: new Map([...counted].map(([key, value]) => [key, value - (before.get(key) ?? 0)])) }
  }

  async close(): Promise<void> {
    await Promise.all([
      this.#applications.stop('SIGKILL'),
      this.#blackHole.close(),
      ...[...this.sidecars.values()].map(sidecar => sidecar.stop('SIGKILL')),
    ])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

export async function startSidecar(yaml: string, adminPort: number, workers = 1): Promise<ProxyProcess> {
  const args = ['--no-watch', '-l', 'warning', '--concurrency', String(workers), '--extension', DOOR]
  const sidecar = await startHopwise(yaml, { adminPort, args, wait: false })
  await sidecar.waitReady(START_DEADLINE_MS)
  return sidecar
}

/** `hopwise_failures_total` by role. */
async function roleCounts(sidecar: ProxyProcess): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const line of (await sidecar.admin('/stats/prometheus')).split('\n')) {
    const match = /^hopwise_failures_total\{.*role="(\w+)".*\} (\d+)$/.exec(line)
    if (match !== null) counts.set(match[1]!, (counts.get(match[1]!) ?? 0) + Number(match[2]))
  }
  return counts
}

async function choosePorts(): Promise<MeshPorts> {
  const numbers = await freePorts(24)
  const port = () => numbers.pop()!
  const service = (): ServicePorts => ({ app: port(), ingress: port(), egress: port(), admin: port() })
  return {
    of: { a: service(), b: service(), c: service(), d: service() },
    closed: port(),
    blackHole: port(),
    silent: port(),
    impostor: port(),
    dns: port(),
    collector: port(),
    outside: port(),
    control: port(),
  }
}
