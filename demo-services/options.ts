/** The command line of `npm start`. */
import { parseArgs } from 'node:util'
import { nearest } from '../sidecar/base/suggest.ts'
import { CATALOGUE } from './catalogue.ts'

export interface DemoOptions {
  /** Ends after the faults, with the verdict as exit code. */
  readonly once: boolean
  readonly seed: number
  /** Breaks another hop than it announces: a judge that agrees is worth nothing. */
  readonly lie: boolean
  /** `HOP:FAULT[=VALUE]` instead of the seed's choice. */
  readonly breaks: readonly string[]
  /** First port of a row; 0 for any free ones. */
  readonly ports: number
  readonly faults: number
  /** Whether the services trace. */
  readonly otel: boolean
  /** Whether the sidecars speak mutual TLS with each other. */
  readonly mtls: boolean
  /** Whether they do in HTTP/2. */
  readonly http2: boolean
}

export class WrongOption extends Error {
  override name = 'WrongOption'
}

const OPTIONS = {
  once: { type: 'boolean' },
  seed: { type: 'string' },
  lie: { type: 'boolean' },
  break: { type: 'string', multiple: true },
  ports: { type: 'string' },
  faults: { type: 'string' },
  otel: { type: 'string' },
  mtls: { type: 'boolean' },
  http2: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Fewer would not show what it is about. */
const DEFAULT_FAULTS = 14

export function help(): string {
  const width = Math.max(...CATALOGUE.map(({ name }) => name.length))
  const faults = CATALOGUE.map(({ name, help, hops }) => `  ${name.padEnd(width)}  ${help} (${hops.join(', ')})`)
  return `Usage: npm start [-- OPTION …]

Runs front → a → b → c → d (three times) with a sidecar beside each, sends traffic through, breaks one hop after another
and prints whom the sidecars blame. Needs nothing but Node; everything is on loopback.

  --once              end after the faults; exit code 1 if one was named wrongly
  --seed N            which faults, and where (a new one each time)
  --faults N          how many (${DEFAULT_FAULTS})
  --break HOP:FAULT   only this, may be repeated: d:down, b:status=503, c:delay=2s; stays broken without --once
  --lie               break another hop than announced: must end with 1
  --ports BASE        ports from BASE upwards (0: any free ones)
  --otel on|off       whether a, c and d trace (on)
  --mtls              the sidecars speak mutual TLS, with certificates made on the spot
  --http2             the sidecars speak HTTP/2 with each other, and the services with them

Faults, and where they can happen:
${faults.join('\n')}
  ${'delay=TIME'.padEnd(width)}  answers that much later (any service, or d1, d2, d3)
`
}

/** Throws {@link WrongOption} with a sentence for the terminal. */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  for (const arg of args) {
    const name = arg.split('=', 1)[0]!
    if (!arg.startsWith('--') || Object.hasOwn(OPTIONS, name.slice(2))) continue
    const guess = nearest(name.slice(2), Object.keys(OPTIONS))
    throw new WrongOption(`no option ${name}${guess === undefined ? '' : `, did you mean --${guess}?`}`)
  }
  let values: {
    once?: boolean
    seed?: string
    lie?: boolean
    break?: string[]
    ports?: string
    faults?: string
    otel?: string
    mtls?: boolean
    http2?: boolean
    help?: boolean
  }
  try {
    values = parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw new WrongOption((error as Error).message.replace(/\. To specify a positional.*/, ''))
  }
  if (values.help === true) return 'help'
  const whole = (name: string, text: string | undefined, otherwise: number, most: number): number => {
    if (text === undefined) return otherwise
    if (!/^\d+$/.test(text) || Number(text) > most) {
      throw new WrongOption(`--${name} must be a whole number up to ${most}, not '${text}'`)
    }
    return Number(text)
  }
  const otel = values.otel ?? 'on'
  if (otel !== 'on' && otel !== 'off') throw new WrongOption(`--otel must be on or off, not '${otel}'`)
  return {
    once: values.once === true,
    seed: whole('seed', values.seed, Math.floor(Math.random() * 10_000), 4_294_967_295),
    lie: values.lie === true,
    breaks: values.break ?? [],
    ports: whole('ports', values.ports, 0, 65_000),
    faults: whole('faults', values.faults, DEFAULT_FAULTS, 1000),
    otel: otel === 'on',
    mtls: values.mtls === true,
    http2: values.http2 === true,
  }
}
