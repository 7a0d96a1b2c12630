/** Our verdict and Envoy's on each case of a corpus, and where they differ on purpose. */
import assert from 'node:assert/strict'

export interface AllowedDifference {
  /** `file: name` in the corpus. */
  readonly case: string
  /** What Envoy does → what we do. */
  readonly verdicts: string
  readonly why: string
}

export function allow(verdicts: string, why: string, ...cases: string[]): AllowedDifference[] {
  return cases.map(one => ({ case: one, verdicts, why }))
}

interface Verdicts {
  readonly ours: string
  readonly theirs: string
}

const AT_ONCE = 16

/** Fails where they differ otherwise than is allowed, and where they no longer do. */
export async function compareVerdicts<Case extends { readonly file: string; readonly name: string }>(
  cases: readonly Case[],
  differences: readonly AllowedDifference[],
  verdictsOn: (one: Case) => Promise<Verdicts>,
): Promise<void> {
  const found = new Map<string, string>()
  const rest = [...cases]
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let one = rest.shift(); one !== undefined; one = rest.shift()) {
        const { ours, theirs } = await verdictsOn(one)
        if (ours !== theirs) found.set(`${one.file}: ${one.name}`, `${theirs || 'none'} → ${ours || 'none'}`)
      }
    }),
  )
  const allowed = new Map(differences.map(entry => [entry.case, entry.verdicts]))
  assert.equal(allowed.size, differences.length, 'a case is listed twice')
  assert.deepEqual(inOrder(found), inOrder(allowed))
}

function inOrder(verdicts: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...verdicts].sort(([a], [b]) => (a < b ? -1 : 1)))
}
