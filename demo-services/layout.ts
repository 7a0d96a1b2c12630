/** Who is there: the services, their instances, who calls whom, and the configuration files with their ports filled in. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { choosePorts } from './ports.ts'

export type Service = 'a' | 'b' | 'c' | 'd'

export const SERVICES: readonly Service[] = ['a', 'b', 'c', 'd']

/** Instances in the order of their weights in `config/c.yaml`: 5, 2, 3. */
export const INSTANCES: Readonly<Record<Service, readonly string[]>> = {
  a: ['a'],
  b: ['b'],
  c: ['c'],
  d: ['d1', 'd2', 'd3'],
}

/** Whom each of them calls, of the mesh. */
export const CALLEES = { a: 'b', b: 'c', c: 'd' } as const satisfies Partial<Record<Service, Service>>

/** Everything with a sidecar, nearest to the caller first. */
export const SIDECARS: readonly string[] = ['front', ...SERVICES.flatMap(service => INSTANCES[service])]
/** Everything with a process of an application. */
export const APPLICATIONS: readonly string[] = [...SERVICES.flatMap(service => INSTANCES[service]), 'outside']

export function serviceOf(instance: string): string {
  return /^d\d$/.test(instance) ? 'd' : instance
}

export interface Ports {
  readonly edge: number
  readonly page: number
  readonly traceStore: number
  readonly blackHole: number
  readonly dns: number
  /** By instance (`d1`, `front`, `outside`); 0 where it has no such port. */
  readonly of: Readonly<Record<string, InstancePorts>>
}

export interface InstancePorts {
  readonly app: number
  /** /metrics, /control and /ready of the application. */
  readonly ops: number
  readonly ingress: number
  readonly egress: number
  readonly admin: number
}

/** The page first and the edge second, so that a row from a base begins with what people open. */
export async function layPorts(base: number): Promise<Ports> {
  const names: string[] = ['page', 'edge', 'traceStore', 'blackHole', 'dns']
  for (const name of SIDECARS) names.push(`${name} admin`)
  for (const name of APPLICATIONS) names.push(`${name} app`, `${name} ops`)
  for (const service of SERVICES) for (const name of INSTANCES[service]) names.push(`${name} ingress`, `${name} egress`)
  const numbers = await choosePorts(names.length, base)
  const port = (name: string): number => numbers[names.indexOf(name)] ?? 0
  const of: Record<string, InstancePorts> = {}
  for (const name of new Set([...SIDECARS, ...APPLICATIONS])) {
    of[name] = {
      app: port(`${name} app`),
      ops: port(`${name} ops`),
      ingress: port(`${name} ingress`),
      egress: port(`${name} egress`),
      admin: port(`${name} admin`),
    }
  }
  return {
    edge: port('edge'),
    page: port('page'),
    traceStore: port('traceStore'),
    blackHole: port('blackHole'),
    dns: port('dns'),
    of,
  }
}

/** The Envoy configuration of one sidecar, ready to run. */
export function configurationOf(instance: string, ports: Ports, logFolder: string): string {
  const own = ports.of[instance]!
  const template = readFileSync(join(import.meta.dirname, 'config', `${serviceOf(instance)}.yaml`), 'utf8')
  return fillTemplate(template, {
    INSTANCE: instance,
    LOG_FOLDER: logFolder,
    ADMIN_PORT: own.admin,
    EDGE_PORT: ports.edge,
    INGRESS_PORT: own.ingress,
    EGRESS_PORT: own.egress,
    APP_PORT: own.app,
    A_PORT: ports.of['a']!.ingress,
    B_PORT: ports.of['b']!.ingress,
    C_PORT: ports.of['c']!.ingress,
    D1_PORT: ports.of['d1']!.ingress,
    D2_PORT: ports.of['d2']!.ingress,
    D3_PORT: ports.of['d3']!.ingress,
    OUTSIDE_PORT: ports.of['outside']!.app,
    BLACK_HOLE_PORT: ports.blackHole,
    DNS_PORT: ports.dns,
    ZIPKIN_PORT: ports.traceStore,
  })
}

/** Throws for a placeholder that has no value: a port 0 would only show much later, as a listener nobody finds. */
export function fillTemplate(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`the template wants \${${name}}, which has no value`)
    return String(value)
  })
}
