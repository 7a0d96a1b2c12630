/**
 * `docker compose run --rm break c=500 …`: makes services misbehave until they are told otherwise, over their control
 * ports. Exit codes: 0 done, 1 a service did not take it, 2 the command line was wrong.
 */
import type { Behaviour } from './behaviour.ts'
import { parseFaults, WORDS_HELP } from './fault-words.ts'

const TIMEOUT_MS = 3000

const help = `usage: docker compose run --rm break SERVICE=FAULT …

  c=500  d=hang  b=delay:2s  outside=reset  d2=crash:10s  all=well

Services: a, b, c, d (all three of it), d1, d2, d3, outside, all. What each can do:
${WORDS_HELP.map(([word, text]) => `  ${word.padEnd(8)} ${text}`).join('\n')}
`

/** Sets how one instance behaves; throws with the reason when it does not take it. */
export async function control(instance: string, behaviour: Behaviour, port = 8081): Promise<void> {
  const response = await fetch(`http://${instance}:${port}/control`, {
    method: 'POST',
    body: JSON.stringify(behaviour),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((error: Error & { cause?: Error }) => {
    throw new Error(`${instance} cannot be reached: ${(error.cause ?? error).message}`)
  })
  if (!response.ok) throw new Error(`${instance}: ${response.status} ${(await response.text()).trim()}`)
}

async function main(terms: readonly string[]): Promise<number> {
  if (terms.length === 0 || terms.includes('--help') || terms.includes('-h')) {
    process.stdout.write(help)
    return terms.length === 0 ? 2 : 0
  }
  let behaviours: Map<string, Behaviour>
  try {
    behaviours = parseFaults(terms)
  } catch (error) {
    process.stderr.write(`break: ${(error as Error).message}\n\n${help}`)
    return 2
  }
  let exitCode = 0
  const results = [...behaviours].map(async ([instance, behaviour]) => {
    try {
      await control(instance, behaviour)
      const what = JSON.stringify(behaviour)
      process.stdout.write(`${instance}: ${what === '{}' ? 'well' : what}\n`)
    } catch (error) {
      process.stderr.write(`break: ${(error as Error).message}\n`)
      exitCode = 1
    }
  })
  await Promise.all(results)
  return exitCode
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
