/** "Did you mean": the nearest of the names that would have been right. */

/**
 * The nearest candidate, if it is near enough to be a slip: a third of the letters, three at most, or the same words in
 * another order (`CODE_RESPONSE`).
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const limit = Math.min(3, Math.max(1, Math.floor(name.length / 3)))
  const lower = name.toLowerCase()
  let best: string | undefined
  let bestDistance = limit + 1
  const words = wordsOf(lower)
  for (const candidate of candidates) {
    if (wordsOf(candidate.toLowerCase()) === words) return candidate
    const distance = editDistance(lower, candidate.toLowerCase(), bestDistance - 1)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function wordsOf(name: string): string {
  return name.length > 200 ? name : name.split(/[_.-]/).sort().join('_')
}

/** `, did you mean "cluster"?` or nothing. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const found = nearest(name, candidates)
  return found === undefined ? '' : `, did you mean "${found}"?`
}

/**
 * Damerau-Levenshtein distance (a swap of two neighbours counts once), or more than `limit` as soon as that is certain.
 * Names longer than 200 are not compared: nobody mistypes those, and the work is quadratic.
 */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit || a.length > 200) return limit + 1
  let twoBack: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, twoBack[j - 2]! + 1)
      row.push(cost)
      if (cost < least) least = cost
    }
    if (least > limit) return limit + 1
    twoBack = previous
    previous = row
  }
  return previous[b.length]!
}
