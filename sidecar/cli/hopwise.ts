/**
 * `hopwise VERB …`: finds the verb and runs it. Each verb is a file of its own, imported only when it is asked for, so
 * that `hopwise run` starts without the others.
 *
 * Exit codes: 0 done; 1 the input was wrong (configuration, failed check); 2 the command line was wrong; 130 interrupted.
 */

import { isMainThread, workerData } from 'node:worker_threads'
import { readableStack } from '../base/readable-stack.ts'
import type { CliIo, Verb } from '../base/verb.ts'
import { WORKER_ROLE } from '../base/worker-role.ts'

interface VerbEntry {
  readonly summary: string
  readonly load: () => Promise<Verb>
}

const VERBS: Readonly<Record<string, VerbEntry>> = {
  run: {
    summary: 'run the proxy: hopwise run -c envoy.yaml',
    load: async () => (await import('../main.ts')).run,
  },
  validate: {
    summary: 'check configuration files, every mistake with its line: hopwise validate envoy.yaml',
    load: async () => (await import('./validate.ts')).validate,
  },
  explain: {
    summary: 'say which route and cluster would serve a request, and why: hopwise explain -c envoy.yaml GET http://b/x',
    load: async () => (await import('./explain.ts')).explain,
  },
  check: {
    summary: 'look over a sidecar and its configuration, with what to do about what is wrong: hopwise check',
    load: async () => (await import('./check.ts')).check,
  },
  config: {
    summary: 'show what a sidecar runs, as tables: hopwise config clusters | listeners | routes | endpoints',
    load: async () => (await import('./config.ts')).config,
  },
  failures: {
    summary: 'list the failures that sidecars have located, one line each: hopwise failures --follow',
    load: async () => (await import('./failures.ts')).failures,
  },
  tap: {
    summary: 'show requests as they pass: hopwise tap --path /orders --status 5xx',
    load: async () => (await import('./tap.ts')).tap,
  },
  top: {
    summary: 'show the routes that are in use, live: counts, latencies, success, where failures begin: hopwise top',
    load: async () => (await import('./top.ts')).top,
  },
  schema: {
    summary: 'print the JSON schema of the configuration, for editors: hopwise schema > envoy.schema.json',
    load: async () => (await import('./schema.ts')).schema,
  },
}

const wantsColours = (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb'

const io: CliIo = {
  out: text => process.stdout.write(text),
  error: text => process.stderr.write(text),
  stdin: async () => {
    const parts: Buffer[] = []
    for await (const part of process.stdin) parts.push(part as Buffer)
    return Buffer.concat(parts).toString('utf8')
  },
  isTerminal: process.stdout.isTTY === true,
  colours: wantsColours && process.stdout.isTTY === true,
  errorColours: wantsColours && process.stderr.isTTY === true,
}

function help(): string {
  const width = Math.max(...Object.keys(VERBS).map(name => name.length))
  const lines = Object.entries(VERBS).map(([name, verb]) => `  ${name.padEnd(width)}  ${verb.summary}`)
  return `hopwise: a service-mesh sidecar that runs Envoy configurations and names the hop that failed.

Usage: hopwise VERB [ARGUMENT …]

${lines.join('\n')}

'hopwise VERB --help' tells the verb's arguments. Without a verb, Envoy's own flags mean 'run'.
`
}

// `hopwise schema | head` closes the pipe early; that is the reader's right.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// Node prints the stack of what nobody caught, and ends.
process.on('uncaughtExceptionMonitor', error => {
  if (error instanceof Error) error.stack = readableStack(error)
})

const [first, ...rest] = process.argv.slice(2)

async function main(): Promise<number> {
  if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
    io.out(help())
    return first === undefined ? 2 : 0
  }
  if (first === '--version' || first === 'version') {
    const { VERSION } = await import('../base/version.ts')
    io.out(`hopwise ${VERSION} (Node ${process.versions.node})\n`)
    return 0
  }
  // `hopwise -c envoy.yaml`, as an Envoy image would be started.
  if (first.startsWith('-')) return (await VERBS['run']!.load())([first, ...rest], io)
  const verb = Object.hasOwn(VERBS, first) ? VERBS[first] : undefined
  if (verb === undefined) {
    const { nearest } = await import('../base/suggest.ts')
    const guess = nearest(first, Object.keys(VERBS))
    io.error(`hopwise: no verb '${first}'${guess === undefined ? '' : `, did you mean '${guess}'?`}\n\n${help()}`)
    return 2
  }
  return (await verb.load())(rest, io)
}

// A worker thread of `hopwise run` begins here too, so that it runs from the bundle where there is one.
if (isMainThread || workerData?.role !== WORKER_ROLE) process.exitCode = await main()
else await (await import('../worker.ts')).runWorker(workerData)
