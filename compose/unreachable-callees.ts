/**
 * Callees that cannot be reached, or not safely: each service has a ledger, an archive, a warehouse, a vault and reports
 * that its caller's sidecar knows a way to, and each way has something wrong with it.
 */
import { CALLEES } from '../demo-services/layout.ts'
import type { Cause } from '../sidecar/failure-origin/record.ts'
import { CALLERS, type Cell, fails } from './cell.ts'

interface Place {
  readonly name: string
  readonly why: string
  readonly causes: readonly [Cause, ...Cause[]]
  readonly subCause?: string
}

const PLACES: readonly Place[] = [
  { name: 'ledger', why: 'whose name does not exist', causes: ['dns', 'no_healthy'] },
  { name: 'archive', why: 'to which no way leads', causes: ['unreachable'] },
  { name: 'warehouse', why: 'which lets nobody connect', causes: ['connect_timeout'] },
  { name: 'reports', why: 'which has no healthy host', causes: ['no_healthy'], subCause: 'health_failed' },
]

/** What is wrong with the vault of each. */
const VAULTS = {
  a: ['whose certificate has expired', 'expired'],
  b: ['which has a certificate of an unknown authority', 'unknown_ca'],
  c: ['which speaks no TLS', 'plaintext_peer'],
  d: ['which cannot show its name', 'san_mismatch'],
  outside: ['which speaks none of its protocols', 'alpn'],
} as const

const vaultOf = (service: keyof typeof VAULTS): Place => {
  const [why, subCause] = VAULTS[service]
  return { name: 'vault', why, causes: ['tls'], subCause }
}

/** Somebody asks a service for one of its places. */
function cell(service: keyof typeof VAULTS, { name, why, causes, subCause }: Place): Omit<Cell, 'terms'> {
  const of = service === 'outside' ? "the outside's" : `${service}'s`
  return {
    title: `${of} ${name} is asked for, ${why}`,
    truth: fails(service, ...causes),
    ...(subCause !== undefined && { subCause }),
  }
}

/** One of `CALLERS` asks for a place of whom it calls, c of the outside as well, and those at the edge of a. */
const ASKED_BY: readonly (readonly [of: keyof typeof VAULTS, how: (place: string) => Omit<Cell, 'title' | 'truth'>])[] =
  [
    // Nobody else takes calls into the mesh at a.
    ['a', place => ({ terms: [], traffic: { path: `/shop/${place}` }, seldom: true })],
    ['outside', place => ({ terms: [`c=call:outside-${place}`] })],
    ...(['a', 'b', 'c'] as const).map(
      hop => [CALLEES[hop], (place: string) => ({ terms: [`${hop}=call:${place}`] })] as const,
    ),
  ]

export const UNREACHABLE: readonly Cell[] = [
  // What was of late is still on the page, so one service is not asked twice in a row.
  ...PLACES.flatMap(place => ASKED_BY.map(([of, how]) => ({ ...cell(of, place), ...how(place.name) }))),
  ...ASKED_BY.map(([of, how]) => ({ ...cell(of, vaultOf(of)), ...how('vault') })),
  {
    title: 'c shows d no certificate',
    terms: ['c=call:nameless'],
    truth: fails('d', 'tls'),
    subCause: 'client_cert_required',
  },
  ...CALLERS.map(hop => ({
    title: `${CALLEES[hop]} fails until ${hop} has left alone all there is of it`,
    terms: [`${hop}=call:strict/closed`],
    // What is closed is so on purpose, and says that as long as it is asked.
    truth: fails(CALLEES[hop], 'no_healthy', 'fault_injected'),
    subCause: 'all_ejected',
  })),
]
