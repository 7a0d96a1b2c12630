/** Which faults a run shows, decided by its seed; what `--break` asks for; and what `--lie` makes of it. */
import { SeededRandom } from '../sidecar/base/random.ts'
import { nearest } from '../sidecar/base/suggest.ts'
import { CATALOGUE, type Fault, faultOf, instancesOf, PATIENCE_MS } from './catalogue.ts'
import { APPLICATIONS } from './layout.ts'

export class UnknownFault extends Error {
  override name = 'UnknownFault'
}

/** What is announced, and what is really broken: the same, unless the run is to lie. */
export interface Chosen {
  readonly announced: Fault
  readonly injected: Fault
}

/** The same faults at the same hops for the same seed: what is always shown, filled up to `count` with others. */
export function chooseFaults(seed: number, count: number): Fault[] {
  const random = new SeededRandom(seed)
  const kinds = [
    ...shuffled(
      CATALOGUE.filter(kind => kind.always),
      random,
    ),
    ...shuffled(
      CATALOGUE.filter(kind => !kind.always),
      random,
    ),
  ]
  // More than there are kinds: again, at other hops.
  const hops = new Map(kinds.map(kind => [kind, shuffled(kind.hops, random)]))
  const faults: Fault[] = []
  for (let round = 0; faults.length < count; round++) {
    for (const kind of kinds) {
      const of = hops.get(kind)!
      if (faults.length < count) faults.push(faultOf(kind, of[round % of.length]!))
    }
  }
  return shuffled(faults, random)
}

/** Breaks another hop than announced: of the same kind where there is one, so that only the place is a lie. */
export function lieAbout(fault: Fault): Chosen {
  const kind = CATALOGUE.find(({ name }) => name === fault.kind)
  const others = (kind?.hops ?? []).map(hop => faultOf(kind!, hop))
  const anything = CATALOGUE.flatMap(each => each.hops.map(hop => faultOf(each, hop)))
  const injected = [...others, ...anything].find(
    other => other.truth.origin !== fault.truth.origin && other.truth.origin !== undefined,
  )!
  return { announced: fault, injected }
}

/** `c:delay=2s`, `b:status=503`, `d:down`, `outside:reset`: HOP:KIND of the catalogue, or one of the two with a value. */
export function parseBreak(text: string): Fault {
  const match = /^([\w-]+):([\w-]+)(?:=(\w+))?$/.exec(text)
  if (match === null) throw new UnknownFault(`--break ${text}: write HOP:FAULT, for example c:delay=2s or d:down`)
  const [, hop, name, value] = match as unknown as [string, string, string, string | undefined]
  if (name === 'delay') return delayFault(known(hop, [...APPLICATIONS, 'd']), value ?? '')
  if (name === 'status' && value !== undefined) {
    const status = Number(value)
    if (!(status >= 500 && status <= 599)) throw new UnknownFault(`--break ${text}: a status from 500 to 599`)
    const kind = CATALOGUE.find(each => each.name === 'status')!
    const fault = faultOf(kind, known(hop, kind.hops))
    return {
      ...fault,
      title: `${hop} answers ${status}`,
      injections: instancesOf(hop).map(instance => ({ kind: 'behave', instance, behaviour: { status } })),
    }
  }
  const kind = CATALOGUE.find(each => each.name === name)
  if (kind === undefined) {
    const names = [...CATALOGUE.map(each => each.name), 'delay']
    const guess = nearest(name, names)
    throw new UnknownFault(
      `--break ${text}: no fault '${name}'${guess === undefined ? `; there are ${names.join(', ')}` : `, did you mean '${guess}'?`}`,
    )
  }
  return faultOf(kind, known(hop, kind.hops))
}

function delayFault(hop: string, value: string): Fault {
  const match = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(value)
  if (match === null) throw new UnknownFault(`--break ${hop}:delay wants a time, for example ${hop}:delay=2s`)
  const delayMs = Number(match[1]) * (match[2] === 's' ? 1000 : 1)
  const origin = /^d\d$/.test(hop) ? 'd' : hop
  const tooLong = delayMs > PATIENCE_MS[origin]! - 30
  return {
    kind: 'delay',
    hop,
    title: `${hop} takes ${value} longer${tooLong ? ', which is more than its caller waits' : ''}`,
    injections: [
      ...instancesOf(hop).map(instance => ({ kind: 'behave' as const, instance, behaviour: { delayMs } })),
      ...(tooLong ? [{ kind: 'traffic' as const, traffic: { rate: 12 } }] : []),
    ],
    truth: tooLong
      ? { origin, causes: ['app_timeout', 'timeout', 'per_try_timeout', 'stream_idle'], outcomes: ['visible'] }
      : { origin, causes: [], outcomes: ['slow'] },
  }
}

function known(hop: string, hops: readonly string[]): string {
  if (hops.includes(hop)) return hop
  throw new UnknownFault(`--break: that can happen at ${hops.join(', ')}, not at '${hop}'`)
}

/** Fisher and Yates, on a copy. */
function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random.next() * (i + 1))
    const held = result[i]!
    result[i] = result[j]!
    result[j] = held
  }
  return result
}
