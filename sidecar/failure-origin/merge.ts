/**
 * Puts the entries of several sidecars together, one failure each.
 *
 * Entries belong together when they share an id or an alias (directly or through others). Of the accounts that remain the
 * deepest is believed: where one says "I was waiting for c" and c's own says "I was waiting for d", it was d. So starting
 * anywhere, follow from each account's origin to the account of that service, until there is none that says more.
 */
import type { FailureEntry } from './failure-log.ts'
import type { Cause, Confidence } from './record.ts'

export interface MergedFailure {
  /** The id of the account believed. */
  readonly id: string
  readonly ids: readonly string[]
  readonly origin: string
  readonly cause: Cause
  readonly subCause: string
  readonly by: string
  readonly link: string
  readonly confidence: Confidence
  /** Some sidecar takes responsibility for having begun it; false for what is only a cancellation. */
  readonly hasOrigin: boolean
  readonly firstAt: number
  readonly entries: readonly FailureEntry[]
}

export function mergeFailures(entries: readonly FailureEntry[]): MergedFailure[] {
  const parent = new Map<string, string>()
  const find = (id: string): string => {
    let root = id
    for (let up = parent.get(root); up !== undefined && up !== root; up = parent.get(root)) root = up
    // Path compression, so that long chains of aliases stay cheap.
    for (let at = id; at !== root; ) {
      const up = parent.get(at)!
      parent.set(at, root)
      at = up
    }
    return root
  }
  for (const entry of entries) {
    if (!parent.has(entry.id)) parent.set(entry.id, entry.id)
    for (const alias of entry.aliases) {
      if (!parent.has(alias)) parent.set(alias, alias)
      parent.set(find(alias), find(entry.id))
    }
  }
  const groups = new Map<string, FailureEntry[]>()
  for (const entry of entries) {
    const root = find(entry.id)
    const group = groups.get(root)
    if (group === undefined) groups.set(root, [entry])
    else group.push(entry)
  }
  return [...groups.values()].map(mergeGroup)
}

function mergeGroup(group: readonly FailureEntry[]): MergedFailure {
  const account = deepest(group)
  const ids = new Set<string>()
  let firstAt = Number.POSITIVE_INFINITY
  for (const entry of group) {
    ids.add(entry.id)
    for (const alias of entry.aliases) ids.add(alias)
    firstAt = Math.min(firstAt, entry.at)
  }
  return {
    id: account.id,
    ids: [...ids],
    origin: account.origin,
    cause: account.cause,
    subCause: account.subCause,
    by: account.by,
    link: account.link,
    confidence: account.confidence,
    hasOrigin: group.some(entry => entry.role === 'origin'),
    firstAt,
    entries: group,
  }
}

/** An account that only says whom its maker waited for, or that the news of a cut came through: others may know more. */
function isProvisional(entry: FailureEntry): boolean {
  return entry.subCause === 'waiting_on' || entry.subCause === 'cut_by_peer' || entry.role === 'cancelled'
}

function deepest(group: readonly FailureEntry[]): FailureEntry {
  const byMaker = new Map<string, FailureEntry>()
  for (const entry of group) {
    const known = byMaker.get(entry.by)
    // Of two accounts of one maker the definite one is the better.
    if (known === undefined || (isProvisional(known) && !isProvisional(entry))) byMaker.set(entry.by, entry)
  }
  const pointedAt = new Set<string>()
  for (const [maker, entry] of byMaker) if (entry.origin !== maker) pointedAt.add(entry.origin)
  let at = [...byMaker.values()].find(entry => !pointedAt.has(entry.by)) ?? group[0]!
  const seen = new Set<FailureEntry>()
  while (!seen.has(at)) {
    seen.add(at)
    const next = at.origin === at.by ? undefined : byMaker.get(at.origin)
    if (next === undefined) break
    at = next
  }
  // Somebody's guess whom he waited for ends here; whoever knows, knows better.
  if (isProvisional(at)) return group.find(entry => !isProvisional(entry)) ?? at
  return at
}
