/** Of a configuration file: what `hopwise validate` finds, and settings that are right and hardly meant. */
import { addressText } from '../../base/address.ts'
import { loadBootstrap } from '../../config/bootstrap.ts'
import { nodeHopwiseSettings } from '../../config/hopwise-metadata.ts'
import { formatProblem } from '../../config/problems.ts'
import type { Bootstrap } from '../../config/schema/generated/types.ts'
import { sourceOf } from '../../config/source.ts'
import { checkWhole } from '../validate.ts'
import { type Check, Checks } from './check.ts'

const EVERYBODY = /^(0\.0\.0\.0|::)\/0$/

const MEND = 'change it there: a sidecar does not start with it, and one that runs goes on with what it had'
const LOADS =
  'a sidecar starts with it all the same; look at that place, validate --strict shows what Envoy would refuse'

/** The checks, where the admin listener is by that file, and what is in it where it can be read. */
export function checkConfiguration(file: string): {
  readonly checks: Check[]
  readonly admin: string | undefined
  readonly bootstrap: Bootstrap | undefined
} {
  const checks = new Checks(`configuration ${file}`)
  const { bootstrap, errors, warnings } = checkWhole(loadBootstrap({ file }))
  for (const error of errors) checks.error('config.valid', formatProblem(error), MEND)
  if (errors.length === 0) checks.ok('config.valid', 'it is valid')
  for (const warning of warnings) checks.warning('config.warning', formatProblem(warning), LOADS)
  if (bootstrap === undefined) return { checks: checks.all, admin: undefined, bootstrap }
  checkNames(bootstrap, checks)
  checkTrust(bootstrap, checks)
  checkTracing(bootstrap, checks)
  return { checks: checks.all, admin: adminOf(bootstrap, checks), bootstrap }
}

function checkNames({ node, staticResources }: Bootstrap, checks: Checks): void {
  if (node?.cluster !== undefined && node.cluster !== '')
    checks.ok('config.name', `the service is called ${node.cluster}`)
  else {
    checks.warning(
      'config.name',
      'the service has no name, so its failures are named after the file',
      'set node.cluster, or start with --service-cluster NAME: two services whose files have one name would be one',
    )
  }
  const listeners = staticResources?.listeners ?? []
  const unsaid = listeners.filter(
    ({ trafficDirection, metadata }) =>
      trafficDirection === 'UNSPECIFIED' && metadata?.filterMetadata.get('hopwise') === undefined,
  )
  if (listeners.length > 0 && !listeners.some(({ trafficDirection }) => trafficDirection === 'INBOUND')) {
    const [first] = unsaid
    checks.warning(
      'config.direction',
      'no listener is INBOUND, so no request counts as one to the application, and its own failures are not told apart',
      `${first === undefined ? '' : `${placeText(first)}: `}set traffic_direction: INBOUND on the listener before the application`,
    )
  } else if (unsaid.length > 0) {
    const names = unsaid.map(listener => `${listener.name} (${placeText(listener)})`).join(', ')
    checks.warning('config.direction', `listeners without traffic_direction count as OUTBOUND: ${names}`, 'set it')
  } else if (listeners.length > 0) checks.ok('config.direction', 'every listener says which way it faces')
}

function checkTrust({ node }: Bootstrap, checks: Checks): void {
  const { trustedPeers } = nodeHopwiseSettings(node?.metadata)
  if (trustedPeers === undefined) {
    checks.ok('config.trust', 'failure records are believed of peers with loopback and private addresses')
  } else if (trustedPeers.some(range => EVERYBODY.test(range))) {
    checks.warning(
      'config.trust',
      'trusted_peers names everybody: whoever answers can blame whom he likes',
      'name the ranges of the mesh, or use mutual TLS, where the trust domain decides',
    )
  } else if (trustedPeers.length === 0) {
    checks.warning(
      'config.trust',
      'trusted_peers is empty: without mutual TLS no record of another sidecar is believed',
      'name the ranges of the mesh, unless all of its peers speak mutual TLS',
    )
  } else checks.ok('config.trust', `failure records are believed of ${trustedPeers.join(', ')}`)
}

function checkTracing({ staticResources }: Bootstrap, checks: Checks): void {
  const managers = (staticResources?.listeners ?? []).flatMap(({ filterChains }) =>
    filterChains.flatMap(({ filters }) => filters.map(({ typedConfig }) => typedConfig?.value as { tracing?: object })),
  )
  const traced = managers.filter(manager => manager?.tracing !== undefined).length
  if (managers.length === 0) return
  if (traced === 0) {
    checks.warning(
      'config.tracing',
      'nothing is traced',
      'failures are located all the same; for their traces, add tracing.provider',
    )
  } else checks.ok('config.tracing', `${traced} of ${managers.length} connection managers trace`)
}

function adminOf({ admin }: Bootstrap, checks: Checks): string | undefined {
  const socket = admin?.address?.socketAddress
  if (socket === undefined) {
    checks.warning(
      'config.admin',
      'there is no admin listener, so nobody can ask this sidecar anything',
      'add admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}',
    )
    return undefined
  }
  const { address, portValue = 0 } = socket
  const everywhere = address === '0.0.0.0' || address === '::'
  if (everywhere) {
    checks.warning(
      'config.admin',
      `the admin listener is open to everybody (${addressText({ ip: address, port: portValue })}): it can end the proxy`,
      'bind it to 127.0.0.1, or let nobody but operators reach it; allow_paths limits what it answers',
    )
  } else checks.ok('config.admin', `the admin listener is at ${addressText({ ip: address, port: portValue })}`)
  if (portValue === 0) return undefined
  return addressText({ ip: everywhere ? '127.0.0.1' : address, port: portValue })
}

function placeText(message: object): string {
  const source = sourceOf(message)
  return source === undefined ? '' : `${source.file}:${source.line}`
}
