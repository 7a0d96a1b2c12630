/**
 * Of the ports in a configuration file: can a sidecar listen where it is to, and does the application answer behind the
 * listeners that face it. A port is found to be free by listening on it for a moment.
 */
import { connect, createServer, type ListenOptions } from 'node:net'
import { type Address, addressText } from '../../base/address.ts'
import type {
  Address as AddressMessage,
  Bootstrap,
  HttpConnectionManager,
  Listener,
  SocketAddress,
} from '../../config/schema/generated/types.ts'
import { type Check, Checks } from './check.ts'

const CONNECT_MS = 2000

/** Whether the sidecar of this file runs: then its ports are its own. Unknown where it was not asked. */
export type Running = 'runs' | 'away' | 'unknown'

export async function checkPorts(bootstrap: Bootstrap, running: Running): Promise<Check[]> {
  const checks = new Checks('ports')
  if (running !== 'runs') await checkListening(bootstrap, running, checks)
  await checkApplication(bootstrap, checks)
  return checks.all
}

async function checkListening(bootstrap: Bootstrap, running: Running, checks: Checks): Promise<void> {
  const wanted = [
    { of: 'the admin listener', message: bootstrap.admin?.address },
    ...(bootstrap.staticResources?.listeners ?? []).flatMap(({ name, address, additionalAddresses }) =>
      [address, ...additionalAddresses.map(more => more.address)].map(message => ({ of: `listener ${name}`, message })),
    ),
  ]
  let free = 0
  for (const { of, message } of wanted) {
    const socket = tcpAddress(message)
    if (socket === undefined || socket.port === 0) continue
    const where = addressText(socket)
    const problem = await listenProblem(socket, message!.socketAddress!)
    if (problem === undefined) free++
    else if (problem === 'EADDRINUSE' && running === 'unknown') {
      checks.warning(
        'ports.free',
        `${where} of ${of} is in use`,
        `if that is not this sidecar: ss -ltnp 'sport = :${socket.port}' names the process`,
      )
    } else checks.error('ports.free', `${where} of ${of} cannot be listened on: ${problem}`, hintFor(problem, socket))
  }
  if (free > 0 && checks.all.length === 0) checks.ok('ports.free', `${free} ports to listen on are free`)
}

function hintFor(problem: string, { port }: Address): string {
  if (problem === 'EADDRINUSE') {
    return `end what listens there (ss -ltnp 'sport = :${port}' names it), or change the port; in a container, look for a second sidecar`
  }
  if (problem === 'EACCES')
    return 'give the process CAP_NET_BIND_SERVICE, or take a port of 1024 or more and forward to it'
  if (problem === 'EADDRNOTAVAIL') return "bind an address that this machine has ('ip addr' lists them), or 0.0.0.0"
  return 'the system says no; its log may say why'
}

/** The system's code for why one cannot listen there; undefined where one can. */
function listenProblem({ ip, port }: Address, { ipv4Compat }: SocketAddress): Promise<string | undefined> {
  const options: ListenOptions = { host: ip, port, ...(ip === '::' && { ipv6Only: !ipv4Compat }) }
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(options, () => server.close(() => resolve(undefined)))
  })
}

/** Hosts of the clusters that INBOUND listeners route to. */
async function checkApplication({ staticResources }: Bootstrap, checks: Checks): Promise<void> {
  const inbound = (staticResources?.listeners ?? []).filter(({ trafficDirection }) => trafficDirection === 'INBOUND')
  const names = new Set(inbound.flatMap(listener => clustersOf(listener)))
  const hosts = new Map<string, { readonly cluster: string; readonly address: Address }>()
  for (const { name, loadAssignment } of staticResources?.clusters ?? []) {
    if (!names.has(name)) continue
    for (const { lbEndpoints } of loadAssignment?.endpoints ?? []) {
      for (const { endpoint } of lbEndpoints) {
        const address = tcpAddress(endpoint?.address)
        if (address !== undefined) hosts.set(addressText(address), { cluster: name, address })
      }
    }
  }
  for (const [where, { cluster, address }] of hosts) {
    const problem = await connectProblem(address)
    if (problem === undefined)
      checks.ok('ports.application', `the application answers at ${where} (cluster ${cluster})`)
    else {
      checks.error(
        'ports.application',
        `the application does not answer at ${where} (cluster ${cluster}): ${problem}`,
        `start it, or give the cluster the port that it listens on: ss -ltn lists those of this machine`,
      )
    }
  }
}

function clustersOf({ filterChains, defaultFilterChain }: Listener): string[] {
  const chains = [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])]
  const managers = chains.map(({ filters }) => filters.at(-1)?.typedConfig?.value as HttpConnectionManager | undefined)
  const hosts = managers.flatMap(manager => manager?.routeConfig?.virtualHosts ?? [])
  return hosts.flatMap(({ routes }) =>
    routes.flatMap(({ route }) => [
      route?.cluster ?? '',
      ...(route?.weightedClusters?.clusters.map(({ name }) => name) ?? []),
    ]),
  )
}

function connectProblem({ ip, port }: Address): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = connect({ host: ip, port, timeout: CONNECT_MS })
    const end = (problem: string | undefined) => {
      socket.destroy()
      resolve(problem)
    }
    socket.once('connect', () => end(undefined))
    socket.once('timeout', () => end(`no answer within ${CONNECT_MS / 1000} s`))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  })
}

/** Undefined for what has no port: pipes, UDP. */
function tcpAddress(message: AddressMessage | undefined): Address | undefined {
  const socket = message?.socketAddress
  if (socket === undefined || socket.protocol === 'UDP') return undefined
  return { ip: socket.address, port: socket.portValue ?? 0 }
}
