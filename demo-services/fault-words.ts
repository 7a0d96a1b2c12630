/**
 * Faults in the words people type: `c=500`, `d=hang`, `b=delay:2s`, `outside=reset`, `all=well`. Used by
 * `docker compose run break` and by the traffic driver.
 */
import { nearest } from '../sidecar/base/suggest.ts'
import type { Behaviour } from './behaviour.ts'

/** Where applications are in compose; `d` is all of its instances. */
export const TARGETS = ['a', 'b', 'c', 'd1', 'd2', 'd3', 'outside'] as const

/** By word: what it sets, given what stands behind the colon. */
const WORDS: Readonly<Record<string, readonly [help: string, make: (value: string) => Behaviour | undefined]>> = {
  '500': ['answers with this status (any from 400 to 599)', () => ({ status: 500 })],
  delay: ['takes longer: delay:300ms, delay:2s', value => withMs(value, 1000, delayMs => ({ delayMs }))],
  hang: [
    'takes requests and never answers: hang, or hang:/feed for those alone',
    value => withPath(value, { hang: true }),
  ],
  stall: [
    'begins an answer and says nothing more: stall, or stall:/feed for those alone',
    value => withPath(value, { stall: true }),
  ],
  reset: ['resets the connection, over gRPC the stream, instead of answering', () => ({ reset: true })],
  close: ['closes the connection instead of answering', () => ({ close: true })],
  garbage: ['answers what is no HTTP', () => ({ garbage: true })],
  cut: ['breaks off in the middle of the body', () => ({ cutBody: 'length' })],
  crash: ['its process ends and is away for: crash:5s', value => withMs(value, 5000, crash => ({ crash }))],
  memory: ['keeps so many MiB with each request, until it is killed: memory:8', value => withMib(value)],
  swallow: ['answers 200 whatever its own calls came to', () => ({ swallow: true })],
  large: ['calls with more than its sidecars take (413)', () => ({ sendBytes: 100_000 })],
  'large-head': ['calls with a head that is more than its sidecar takes (431)', () => ({ sendHeadBytes: 100_000 })],
  'large-answer': ['answers with a head that is more than its sidecar takes', () => ({ answerHeadBytes: 100_000 })],
  flood: [
    'makes 40 calls at once, or flood:80; the circuit breaker of b lets 32 through, that of c 64',
    value => withCalls(value),
  ],
  call: [
    'calls somebody else too: call:ledger (no such name), call:nobody (no route), call:outside/feed',
    value => withTarget(value, alsoCall => ({ alsoCall })),
  ],
  spree: [
    'calls somebody 60 times, a few at a time, more than a rate limit lets through: spree:d/healthz',
    value => withTarget(value, spree => ({ spree })),
  ],
  upgrade: ['asks somebody for a WebSocket: upgrade:d', value => withTarget(value, upgrade => ({ upgrade }))],
  deadline: [
    'tells whom it calls to answer within so long: deadline:300ms',
    value => withMs(value, 1000, deadlineMs => ({ deadlineMs })),
  ],
  abort: [
    "asks its sidecar's fault filter to abort its calls",
    () => ({ headers: { 'x-envoy-fault-abort-request': '503' } }),
  ],
  detain: [
    "asks its sidecar's fault filter to hold its calls back: detain:3s",
    value => withMs(value, 3000, ms => ({ headers: { 'x-envoy-fault-delay-request': String(ms) } })),
  ],
  well: ['does nothing of that', () => ({})],
}

export const WORDS_HELP: readonly (readonly [word: string, help: string])[] = Object.entries(WORDS).map(
  ([word, [help]]) => [word, help],
)

/** What each instance is to do; several terms for one add up. A text that is no term throws, with what is wrong. */
export function parseFaults(terms: readonly string[]): Map<string, Behaviour> {
  const behaviours = new Map<string, Behaviour>()
  for (const term of terms) {
    const [service = '', text = ''] = term.split('=', 2)
    const behaviour = parseWord(text)
    for (const target of targetsOf(service)) behaviours.set(target, { ...behaviours.get(target), ...behaviour })
  }
  return behaviours
}

function targetsOf(service: string): readonly string[] {
  if (service === 'all') return TARGETS
  const targets = TARGETS.filter(target => target === service || (service === 'd' && /^d\d$/.test(target)))
  if (targets.length > 0) return targets
  throw new Error(`there is no service '${service}'; there are a, b, c, d, d1, d2, d3, outside and all`)
}

function parseWord(text: string): Behaviour {
  if (/^[45]\d\d$/.test(text)) return { status: Number(text) }
  const [word = '', value = ''] = text.split(':', 2)
  const known = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined
  if (known === undefined) {
    const guess = nearest(word, Object.keys(WORDS))
    const hint = guess === undefined ? `; there are ${Object.keys(WORDS).join(', ')}` : `, did you mean '${guess}'?`
    throw new Error(`no fault '${word}'${hint}`)
  }
  const behaviour = known[1](value)
  if (behaviour === undefined) throw new Error(`${word}: '${value}' is not what it takes (${known[0]})`)
  return behaviour
}

function withMs(value: string, otherwise: number, make: (ms: number) => Behaviour): Behaviour | undefined {
  if (value === '') return make(otherwise)
  const match = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(value)
  return match === null ? undefined : make(Math.round(Number(match[1]) * (match[2] === 's' ? 1000 : 1)))
}

function withMib(value: string): Behaviour | undefined {
  if (value === '') return { memory: 8 }
  return /^[1-9]\d{0,3}$/.test(value) ? { memory: Number(value) } : undefined
}

function withCalls(value: string): Behaviour | undefined {
  if (value === '') return { fanOut: 40 }
  return /^[1-9]\d{0,3}$/.test(value) ? { fanOut: Number(value) } : undefined
}

function withPath(value: string, behaviour: Behaviour): Behaviour | undefined {
  if (value === '') return behaviour
  return /^(?:\/[\w.-]*)+$/.test(value) ? { ...behaviour, path: value } : undefined
}

/** A host, with a path or without. */
function withTarget(value: string, make: (target: string) => Behaviour): Behaviour | undefined {
  return /^[\w.-]+(?:\/[\w.-]*)*$/.test(value) ? make(value) : undefined
}
