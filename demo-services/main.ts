/**
 * `npm start`: the chain front → a → b → c → d with a sidecar beside each service, traffic through it, and one fault after
 * another, for each of which the sidecars have to say which hop it was.
 *
 * Exit codes: 0 every fault was named rightly (or the user ended it); 1 one was not, or something of the demo itself
 * failed; 2 the command line was wrong; 130 `--once` was interrupted.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { LEAST_RATE, STEADY_RATE } from './catalogue.ts'
import { Chain } from './chain.ts'
import { ChildFailed } from './child.ts'
import { type Chosen, chooseFaults, lieAbout, parseBreak, UnknownFault } from './choice.ts'
import { layPorts } from './layout.ts'
import { type DemoOptions, help, parseOptions, WrongOption } from './options.ts'
import { DemoState, startPage } from './page-server.ts'
import { PortInUse } from './ports.ts'
import { mend, NotRecovered, runFault, type Scene } from './run-fault.ts'
import { SidecarOutput, secondsPerRequest } from './sidecar-output.ts'
import { Terminal, type Told } from './terminal.ts'
import { medianMs, summaryOf, Traffic } from './traffic.ts'

/** In a row, before anything is measured. */
const WARM_REQUESTS = 25
const WARM_UP_DEADLINE_MS = 12_000
const BASELINE_MS = 1200
/** Both the terminal and the launcher pass Ctrl-C on, so it comes twice. */
const SAME_SIGNAL_MS = 300

const terminal = new Terminal(process.stdout, process.env)
const started = performance.now()

function options(): DemoOptions | undefined {
  try {
    const parsed = parseOptions(process.argv.slice(2))
    if (parsed !== 'help') return parsed
    process.stdout.write(help())
    process.exit(0)
  } catch (error) {
    if (!(error instanceof WrongOption)) throw error
    process.stderr.write(`npm start: ${error.message}\n\n'npm start -- --help' lists the options.\n`)
    return undefined
  }
}

function chosenFaults({ breaks, seed, faults, lie }: DemoOptions): Chosen[] | undefined {
  try {
    const announced = breaks.length > 0 ? breaks.map(parseBreak) : chooseFaults(seed, faults)
    return announced.map(fault => (lie ? lieAbout(fault) : { announced: fault, injected: fault }))
  } catch (error) {
    if (!(error instanceof UnknownFault)) throw error
    process.stderr.write(`npm start: ${error.message}\n`)
    return undefined
  }
}

async function main(): Promise<number> {
  const given = options()
  const chosen = given && chosenFaults(given)
  if (given === undefined || chosen === undefined) return 2

  const ended = endOnSignal(given.once)
  terminal.line(
    `${terminal.bold('Hopwise')}  front → a ⇢ b → c → d ×3 (weights 5/2/3), c → outside   (⇢ gRPC)   seed ${given.seed}`,
  )
  for (let tries = 1; ; tries++) {
    const chain = new Chain(await layPorts(given.ports), given.otel, { mtls: given.mtls, http2: given.http2 })
    try {
      return await Promise.race([ended, show(given, chosen, chain)])
    } catch (error) {
      // Between finding a port free and listening on it somebody else may have come.
      const lostPort = error instanceof ChildFailed && /in use|EADDRINUSE/.test(error.message)
      if (!lostPort || given.ports !== 0 || tries === 3) throw error
    } finally {
      await chain.stop()
    }
  }
}

/** Resolves at Ctrl-C; at the second one, everything ends at once. */
function endOnSignal(once: boolean): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let first = 0
  const end = () => {
    const now = performance.now()
    if (first === 0) {
      first = now
      terminal.line()
      terminal.line('  ending')
      // A run that was to give a verdict has none.
      resolve(once ? 130 : 0)
    } else if (now - first > SAME_SIGNAL_MS) process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  return promise
}

async function show(given: DemoOptions, chosen: readonly Chosen[], chain: Chain): Promise<number> {
  const { ports } = chain
  await terminal.progress('starting 7 sidecars and 7 services', chain.start())
  const { admins } = chain
  const state = new DemoState()
  const page = await startPage({ port: ports.page, traceStoreUrl: chain.traceStoreUrl, admins, state })
  terminal.line(terminal.dim(`  ready in ${((performance.now() - started) / 1000).toFixed(1)} s`))
  terminal.line(`  page     ${page.url}`)
  terminal.line(`  entry    http://127.0.0.1:${ports.edge}/`)
  terminal.line(`  traces   ${chain.traceStoreUrl}/api/v2/traces`)
  terminal.line()

  const traffic = new Traffic(ports.edge)
  const output = new SidecarOutput(admins)
  const scene: Scene = { chain, traffic, output, usual: await terminal.progress('warming up', steady(traffic, output)) }
  const told: Told[] = []
  for (const [i, one] of chosen.entries()) {
    state.begin(one.announced.title)
    const result = await terminal.progress(one.announced.title, runFault(scene, one))
    const link = result.named?.failureId ? `${page.url}#failure/${result.named.failureId}` : page.url
    const reallyBroken = one.injected === one.announced ? '' : one.injected.title
    const line: Told = { fault: one.announced, reallyBroken, link, ...result }
    told.push(line)
    terminal.told(i + 1, chosen.length, line)
    state.end(line)
    const stays = given.breaks.length > 0 && !given.once && i === chosen.length - 1
    if (stays) {
      state.begin(one.announced.title)
      traffic.start()
      continue
    }
    await terminal.progress(`waiting until all is well after "${one.announced.title}"`, mend(scene))
    const { dead } = chain
    if (dead !== undefined) throw new ChildFailed(`${dead.name} ended by itself:\n${dead.lastWords}`)
  }
  terminal.summary(told, (performance.now() - started) / 1000)
  const right = told.every(({ verdict }) => verdict.right)
  if (given.once) {
    traffic.stop()
    await page.close()
    return right ? 0 : 1
  }
  terminal.line()
  terminal.line(`  traffic goes on: ${page.url}`)
  const { ops } = ports.of['c']!
  terminal.line(
    `  break something yourself: curl -d '{"status": 500}' http://127.0.0.1:${ops}/control   (c; '{}' mends it)`,
  )
  terminal.line('  Ctrl-C ends')
  await new Promise(() => setInterval(() => traffic.take(), 1000))
  return 0
}

/** Requests a second of which half a one is under way, on average: a demo is no load test. */
function rateFor(latencyMs: number): number {
  return Math.min(STEADY_RATE, Math.max(LEAST_RATE, Math.round(500 / latencyMs)))
}

/**
 * Traffic with nothing broken: what is usual, and who takes the time. First connections and first compilations are not
 * usual, and on a machine that is busy with other things they take their time.
 */
async function steady(traffic: Traffic, output: SidecarOutput): Promise<ReadonlyMap<string, number>> {
  traffic.start()
  const deadline = performance.now() + WARM_UP_DEADLINE_MS
  for (;;) {
    while (traffic.successes < WARM_REQUESTS && performance.now() < deadline) await delay(20)
    traffic.take()
    const before = await output.counters()
    await delay(BASELINE_MS)
    const usual = secondsPerRequest(before, await output.counters())
    const seen = traffic.take()
    if (traffic.successes < seen.length && performance.now() < deadline) continue
    traffic.usualRate = rateFor(medianMs(seen))
    const slowest = [...usual].sort((x, y) => y[1] - x[1])
    const times = slowest.map(([service, seconds]) => `${service} ${(seconds * 1000).toFixed(1)}`).join(', ')
    terminal.line(`  steady   callers saw ${summaryOf(seen)}, median ${medianMs(seen).toFixed(0)} ms`)
    terminal.line(`           slowest is ${slowest[0]?.[0] ?? 'nobody'}; own ms a request: ${times}`)
    terminal.line()
    return usual
  }
}

try {
  process.exit(await main())
} catch (error) {
  if (error instanceof ChildFailed || error instanceof NotRecovered || error instanceof PortInUse) {
    process.stderr.write(`npm start: ${error.message}\n`)
    process.exit(1)
  }
  throw error
}
