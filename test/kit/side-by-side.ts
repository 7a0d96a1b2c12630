/**
 * The differential runner: one configuration, one script of requests, several proxies; what each did is written down the
 * same way and compared.
 *
 * A suite is a configuration with placeholders and scenarios that run on it one after the other. Every side (Envoy,
 * Hopwise, an Envoy with an altered configuration) gets a process, ports and upstreams of its own:
 *
 *   {{listen:NAME}}    a free port for a listener          {{log}}     path of this side's access log
 *   {{upstream:NAME}}  port of a scripted upstream         {{admin}}   port of the admin listener
 *   {{dead:NAME}}      port on which nobody listens        {{hole:NAME}}  port that never accepts
 *
 * Whatever two runs of one proxy may differ in (dates, ids, ports, milliseconds) is replaced by a word before anything is
 * compared. Header order is not compared unless a scenario says so; names are compared in lower case.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectionOptions, TlsOptions } from 'node:tls'
import { BlackHole } from './black-hole.ts'
import { startEnvoy } from './envoy.ts'
import { FakeUpstream, type Script } from './fake-upstream.ts'
import { freePorts } from './free-port.ts'
import { startHopwise } from './hopwise.ts'
import { type RequestOptions, TestClient, type TestResponse } from './http-client.ts'
import { Http2TestClient } from './http2-client.ts'
import { type ProxyProcess, temporaryFolder } from './proxy-process.ts'

export interface Step extends RequestOptions {
  /** Bytes sent instead of what the other fields say. */
  raw?: string
  /** Uses the connection of the step before; by default each step has its own. */
  sameConnection?: boolean
  /** Pause before the step. */
  waitMs?: number
  /** The client goes away this long after it has sent the request. */
  leaveAfterMs?: number
  deadlineMs?: number
  /** HTTP/2: the client resets the stream this long after it has sent the request. */
  resetStreamAfterMs?: number
  /** Goes on with the next step at once; the response is awaited after the last step. Has a connection of its own. */
  background?: boolean
  /** Bytes sent later, each after a pause, whether or not a response has come. */
  later?: readonly { waitMs: number; write: string }[]
  /** Responses to read; 1 by default. */
  responses?: number
  /** HTTP/2: the request is an extended CONNECT (RFC 8441) for this protocol. */
  protocol?: string
  /** Sent once the response's head is here: the first bytes of another protocol. */
  tunnel?: string
  /** Reads that many bytes behind the response (of a tunnel), or what there is when the connection ends. */
  rawBytes?: number
  /** Looks, so many milliseconds after the response, whether the connection is open, ended or reset. */
  connectionAfterMs?: number
  /** Upstream whose open connections are ended before the step. */
  dropUpstream?: string
  expect?: Expectation
}

/** What a response (or its log line) must be; only the fields said are looked at. */
export interface Expectation {
  status?: number
  body?: string
  /** By lower-case name; null means absent. Several of one name are joined by a comma and a space. */
  headers?: Readonly<Record<string, string | null>>
  trailers?: Readonly<Record<string, string>>
  framing?: TestResponse['framing']
  /** Access-log line contains this. */
  log?: string
  /** Time until the response was complete. */
  atLeastMs?: number
  atMostMs?: number
}

export interface Scenario {
  name: string
  /** Listener the requests go to; `main` by default. */
  listen?: string
  /** The client speaks HTTP/2; steps that are made of bytes are none for it. */
  http2?: boolean
  /** The client connects with TLS, offering the protocol it speaks. */
  tls?: ConnectionOptions
  /** Scripts of upstreams for this scenario; those not named keep answering 200 `ok`. */
  upstreams?: Readonly<Record<string, Script>>
  steps: readonly Step[]
  /** Admin endpoints POSTed before and after the steps. */
  adminBefore?: readonly string[]
  adminAfter?: readonly string[]
  /** Lines that the access log gets; by default one per response. */
  logLines?: number
  /** Counters and gauges whose change is compared. */
  stats?: readonly string[]
  /** Prefixes of names: whatever begins so and changes on either side is compared. Placeholders stand for ports. */
  statPrefixes?: readonly string[]
  /** Change expected of stats (of `stats` or others). */
  expectStats?: Readonly<Record<string, number>>
  /** What upstreams must have seen, one per request they got. */
  expectUpstream?: readonly {
    target?: string
    headers?: Readonly<Record<string, string | null>>
    body?: string
    trailers?: Readonly<Record<string, string>>
  }[]
  /** Compares header order and the case of names too. */
  exactHeaders?: boolean
  /** Compares the `server` header. */
  serverHeader?: boolean
}

export interface Suite {
  name: string
  config: string
  /** Upstreams that are spoken to with TLS, by name. */
  upstreamTls?: Readonly<Record<string, TlsOptions>>
  scenarios: readonly Scenario[]
}

export interface Side {
  readonly name: string
  start(yaml: string, adminPort: number): Promise<ProxyProcess>
}

export const envoySide: Side = {
  name: 'envoy',
  start: (yaml, adminPort) => startEnvoy(yaml, { adminPort, args: ['--file-flush-interval-msec', '20'] }),
}

export const hopwiseSide: Side = {
  name: 'hopwise',
  start: (yaml, adminPort) => startHopwise(yaml, { adminPort, args: ['--file-flush-interval-msec', '20'] }),
}

/** An Envoy whose configuration was changed behind the test's back, for the self-check. */
export function alteredEnvoySide(alter: (yaml: string) => string): Side {
  return {
    name: 'altered envoy',
    start(yaml, adminPort) {
      const altered = alter(yaml)
      if (altered === yaml) throw new Error('the alteration changes nothing')
      return envoySide.start(altered, adminPort)
    },
  }
}

type Fields = Readonly<Record<string, string>>

/** What one side did in one scenario: normalised text by field, e.g. `response 1 header content-type`. */
export interface Observation {
  readonly fields: Fields
  readonly responses: readonly (TestResponse | undefined)[]
  readonly elapsedMs: readonly number[]
  readonly upstreamRequests: readonly FakeUpstream['requests'][number][]
  readonly logLines: readonly string[]
  readonly statChanges: ReadonlyMap<string, number>
}

/** Runs every scenario of a suite on one side. */
export async function observe(side: Side, suite: Suite): Promise<Map<string, Observation>> {
  const running = await startAgain(side, suite)
  try {
    const observations = new Map<string, Observation>()
    for (const scenario of suite.scenarios) observations.set(scenario.name, await running.run(scenario))
    return observations
  } finally {
    await running.stop()
  }
}

/** A port that was free may not be a moment later: others run on this machine too. */
async function startAgain(side: Side, suite: Suite): Promise<RunningSide> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await RunningSide.start(side, suite)
    } catch (error) {
      if (attempt === 3 || !/in use/i.test((error as Error).message)) throw error
    }
  }
}

class RunningSide {
  readonly #proxy: ProxyProcess
  readonly #upstreams: ReadonlyMap<string, FakeUpstream>
  readonly #holes: readonly BlackHole[]
  readonly #ports: ReadonlyMap<string, number>
  readonly #logPath: string

  private constructor(
    proxy: ProxyProcess,
    upstreams: ReadonlyMap<string, FakeUpstream>,
    holes: readonly BlackHole[],
    ports: ReadonlyMap<string, number>,
    logPath: string,
  ) {
    this.#proxy = proxy
    this.#upstreams = upstreams
    this.#holes = holes
    this.#ports = ports
    this.#logPath = logPath
  }

  static async start(side: Side, suite: Suite): Promise<RunningSide> {
    const names = [
      ...new Set([...suite.config.matchAll(/\{\{((?:listen|upstream|dead|hole):[^}]+|admin)\}\}/g)].map(m => m[1]!)),
    ]
    const upstreams = new Map<string, FakeUpstream>()
    const ports = new Map<string, number>()
    for (const name of names.filter(name => name.startsWith('upstream:'))) {
      const shortName = name.slice('upstream:'.length)
      const tls = suite.upstreamTls?.[shortName]
      const upstream = await FakeUpstream.start(undefined, tls === undefined ? {} : { tls })
      upstreams.set(shortName, upstream)
      ports.set(name, upstream.port)
    }
    const listeners = [...names.filter(name => /^(listen|dead|hole):/.test(name)), 'admin']
    const free = await freePorts(listeners.length)
    for (const [i, name] of listeners.entries()) ports.set(name, free[i]!)
    const holes: BlackHole[] = []
    for (const name of names.filter(name => name.startsWith('hole:')))
      holes.push(await BlackHole.start(ports.get(name)!))
    const logPath = join(temporaryFolder(), 'access.log')
    const yaml = suite.config.replaceAll(/\{\{([a-z]+(?::[^}]+)?)\}\}/g, (_, name: string) => {
      if (name === 'log') return logPath
      const port = ports.get(name)
      if (port === undefined) throw new Error(`unknown placeholder {{${name}}}`)
      return String(port)
    })
    try {
      const proxy = await side.start(yaml, ports.get('admin')!)
      return new RunningSide(proxy, upstreams, holes, ports, logPath)
    } catch (error) {
      for (const upstream of upstreams.values()) await upstream.close()
      for (const hole of holes) await hole.close()
      throw new Error(`${side.name} does not start with suite ${suite.name}: ${(error as Error).message}`)
    }
  }

  async stop(): Promise<void> {
    await this.#proxy.stop('SIGKILL')
    for (const upstream of this.#upstreams.values()) await upstream.close()
    for (const hole of this.#holes) await hole.close()
  }

  async run(scenario: Scenario): Promise<Observation> {
    for (const [name, upstream] of this.#upstreams) {
      upstream.requests.length = 0
      upstream.script = scenario.upstreams?.[name] ?? [{ status: 200, body: 'ok' }]
    }
    const watched = [...new Set([...(scenario.stats ?? []), ...Object.keys(scenario.expectStats ?? {})])]
    const prefixes = (scenario.statPrefixes ?? []).map(prefix => this.#withPorts(prefix))
    const filter = prefixes.length > 0 && watched.length === 0 ? `^(${prefixes.map(RegExp.escape).join('|')})` : ''
    const watching = watched.length > 0 || prefixes.length > 0
    const before = watching ? await this.#proxy.stats(filter) : new Map<string, number>()
    const logBefore = this.#log().length
    for (const path of scenario.adminBefore ?? []) await this.#proxy.admin(path, 'POST')
    const { responses, elapsedMs, extra } = await this.#runSteps(scenario)
    for (const path of scenario.adminAfter ?? []) await this.#proxy.admin(path, 'POST')
    const logged = scenario.logLines ?? scenario.steps.reduce((sum, { responses = 1 }) => sum + responses, 0)
    const attempts = [...this.#upstreams.values()].reduce((sum, upstream) => sum + upstream.requests.length, 0)
    // An internal redirect is logged as a request of its own, which makes more lines than there were requests.
    const logLines = await this.#logAfter(logBefore, logged, attempts > logged)
    // Connections that end are counted a moment after the last byte.
    if (prefixes.length > 0) await delay(60)
    const after = watching ? await this.#proxy.stats(filter) : before
    const statChanges = new Map(watched.map(name => [name, (after.get(name) ?? 0) - (before.get(name) ?? 0)]))
    for (const [name, value] of after) {
      const change = value - (before.get(name) ?? 0)
      if (change === 0 || VARYING_STAT.test(name) || !prefixes.some(prefix => name.startsWith(prefix))) continue
      statChanges.set(this.#normal(name), change)
    }
    const upstreamRequests = [...this.#upstreams.values()].flatMap(upstream => [...upstream.requests])

    const fields: Record<string, string> = { ...extra }
    for (const [i, response] of responses.entries()) this.#addResponse(fields, `response ${i + 1}`, response, scenario)
    for (const [name, upstream] of this.#upstreams) {
      fields[`upstream ${name} requests`] = String(upstream.requests.length)
      for (const [i, request] of upstream.requests.entries()) {
        const prefix = `upstream ${name} request ${i + 1}`
        fields[`${prefix} line`] = this.#normal(request.startLine)
        this.#addHeaders(fields, prefix, request.headers, scenario)
        fields[`${prefix} body`] = request.body.toString('latin1')
        fields[`${prefix} framing`] = request.framing
        for (const [name, value] of request.trailers) fields[`${prefix} trailer ${name}`] = value
      }
    }
    for (const [i, line] of logLines.entries()) fields[`log ${i + 1}`] = this.#normal(line)
    for (const [name, change] of statChanges) fields[`stat ${name}`] = String(change)
    return { fields, responses, elapsedMs, upstreamRequests, logLines, statChanges }
  }

  async #runSteps(scenario: Scenario): Promise<{
    responses: (TestResponse | undefined)[]
    elapsedMs: number[]
    extra: Record<string, string>
  }> {
    const port = this.#ports.get(`listen:${scenario.listen ?? 'main'}`)
    if (port === undefined) throw new Error(`${scenario.name}: no listener ${scenario.listen ?? 'main'}`)
    const responses: (TestResponse | undefined)[] = []
    const elapsedMs: number[] = []
    const extra: Record<string, string> = {}
    let client: TestClient | Http2TestClient | undefined
    const { http2, tls } = scenario
    const connect = () =>
      http2 === true
        ? Http2TestClient.connect(port, tls)
        : TestClient.connect(port, tls === undefined ? {} : { tls: { ALPNProtocols: ['http/1.1'], ...tls } })
    const background: Promise<void>[] = []
    for (const [i, step] of scenario.steps.entries()) {
      if (step.waitMs !== undefined) await delay(step.waitMs)
      if (step.dropUpstream !== undefined) this.#upstreams.get(step.dropUpstream)!.dropConnections()
      if (step.background === true) {
        const own = step.sameConnection === true && client instanceof Http2TestClient ? client : await connect()
        const run = this.#runStep(own, step, i, responses, elapsedMs, extra)
        background.push(own === client ? run : run.finally(() => own.close()))
        continue
      }
      if (step.sameConnection !== true || client === undefined) {
        client?.close()
        client = await connect()
      }
      await this.#runStep(client, step, i, responses, elapsedMs, extra)
    }
    await Promise.all(background)
    client?.close()
    return { responses, elapsedMs, extra }
  }

  async #runStep(
    client: TestClient | Http2TestClient,
    step: Step,
    index: number,
    responses: (TestResponse | undefined)[],
    elapsedMs: number[],
    extra: Record<string, string>,
  ): Promise<void> {
    const started = performance.now()
    responses[index] = undefined
    try {
      if (step.leaveAfterMs === undefined) {
        if (client instanceof Http2TestClient) {
          responses[index] = await client.request(step, step.deadlineMs ?? 10_000, step.resetStreamAfterMs)
        } else {
          for (const { waitMs, write } of step.later ?? []) setTimeout(() => client.write(write), waitMs)
          responses[index] = await client.request(step.raw ?? step, step.deadlineMs ?? 10_000)
          for (let i = 1; i < (step.responses ?? 1); i++) {
            const response = await client.readResponse(step.deadlineMs ?? 10_000)
            extra[`response ${index + 1} next ${i}`] =
              `${response.status} ${response.framing} ${this.#normal(response.body.toString('latin1'))}`
          }
        }
      } else {
        setTimeout(() => client.close(), step.leaveAfterMs)
        const sent =
          client instanceof Http2TestClient
            ? client.request(step, step.leaveAfterMs + 1000)
            : client.request(step.raw ?? step, step.leaveAfterMs + 1000)
        await sent.catch(() => undefined)
      }
    } catch (error) {
      // How the connection ended is part of the answer; that it did not end is one too.
      const { message } = error as Error
      extra[`response ${index + 1} instead`] =
        /^connection (ended|reset)( before a response; code \d+)?/
          .exec(message)?.[0]
          .replace(' before a response', '') ?? 'nothing in time'
    } finally {
      elapsedMs[index] = performance.now() - started
    }
    if (step.connectionAfterMs !== undefined) {
      const open = delay(step.connectionAfterMs).then(() => 'open')
      extra[`response ${index + 1} connection`] = await Promise.race([client.closed, open])
    }
    if (client instanceof Http2TestClient) return
    if (step.tunnel !== undefined) client.write(step.tunnel)
    if (step.rawBytes !== undefined) {
      const raw = await client.readRaw(step.rawBytes, 3000).catch(() => Buffer.from('(not in time)'))
      extra[`response ${index + 1} raw`] = this.#normal(raw.toString('latin1'))
    }
  }

  #addResponse(fields: Record<string, string>, prefix: string, response: TestResponse | undefined, scenario: Scenario) {
    if (response === undefined) {
      fields[prefix] = 'none'
      return
    }
    fields[`${prefix} status`] = `${response.status} ${response.reason}`
    for (const [i, head] of response.informational.entries())
      fields[`${prefix} informational ${i + 1}`] = head.startLine
    this.#addHeaders(fields, prefix, response.headers, scenario)
    fields[`${prefix} body`] = this.#normal(response.body.toString('latin1'))
    fields[`${prefix} framing`] = response.framing
    for (const [name, value] of response.trailers) fields[`${prefix} trailer ${name}`] = this.#normal(value)
  }

  #addHeaders(fields: Record<string, string>, prefix: string, headers: TestResponse['headers'], scenario: Scenario) {
    for (const [rawName, value] of headers) {
      const name = rawName.toLowerCase()
      if (name === 'server' && scenario.serverHeader !== true) continue
      const key = `${prefix} header ${name}`
      const normal = VARYING[name] ?? (name === EXPECTED_TIMEOUT ? aboutMs(value) : this.#normal(value))
      fields[key] = fields[key] === undefined ? normal : `${fields[key]} | ${normal}`
    }
    if (scenario.exactHeaders === true) fields[`${prefix} header order`] = headers.map(([name]) => name).join(', ')
  }

  #normal(text: string): string {
    let normal = text.replaceAll(UUID, '<uuid>')
    // Long numbers first, so that a port that begins with another is not taken for it.
    for (const [name, port] of this.#ports)
      normal = normal.replaceAll(new RegExp(`(?<!\\d)${port}(?!\\d)`, 'g'), `<${name}>`)
    return normal.replaceAll(/127\.0\.0\.1:\d{4,5}\b/g, '127.0.0.1:<ephemeral>')
  }

  #withPorts(text: string): string {
    return text.replaceAll(/\{\{([a-z]+(?::[^}]+)?)\}\}/g, (_, name: string) => String(this.#ports.get(name)))
  }

  #log(): string {
    return existsSync(this.#logPath) ? readFileSync(this.#logPath, 'latin1') : ''
  }

  /** Log lines of a scenario: as many as requests, or what is there when no more have come for a while. */
  async #logAfter(from: number, expected: number, mayBeMore: boolean): Promise<string[]> {
    if (!existsSync(this.#logPath)) return []
    const deadline = performance.now() + 1500
    for (;;) {
      const lines = this.#log().slice(from).split('\n').slice(0, -1)
      if (performance.now() > deadline) return lines
      if (lines.length >= expected) {
        if (!mayBeMore) return lines
        mayBeMore = false
        await delay(80)
        continue
      }
      await delay(10)
    }
  }
}

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g

/** Stats that depend on time, on lengths of ports and ids, or on the moment of reading. */
const VARYING_STAT = /bytes|_ms$|length|_time$|buffered/

const EXPECTED_TIMEOUT = 'x-envoy-expected-rq-timeout-ms'

/** What is left of a timeout depends on the milliseconds before: 14985 and 15000 are both about 15000. */
function aboutMs(value: string): string {
  return value.length < 4 ? value : `about ${Math.ceil(Number(value) / 500) * 500}`
}

/** Headers that no two runs have alike. */
const VARYING: Readonly<Record<string, string>> = {
  date: '<date>',
  'x-envoy-upstream-service-time': '<ms>',
}

/** Mistakes of an observation against what its scenario expects, one line each. */
export function unmetExpectations(scenario: Scenario, observation: Observation): string[] {
  const unmet: string[] = []
  const check = (what: string, actual: unknown, expected: unknown) => {
    if (actual !== expected) unmet.push(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`)
  }
  const checkHeaders = (what: string, headers: TestResponse['headers'], expected: Expectation['headers']) => {
    for (const [name, value] of Object.entries(expected ?? {})) {
      const values = headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)
      check(`${what} header ${name}`, values.length === 0 ? null : values.join(', '), value)
    }
  }
  for (const [i, { expect }] of scenario.steps.entries()) {
    if (expect === undefined) continue
    const response = observation.responses[i]
    const what = `response ${i + 1}`
    if (response === undefined) {
      unmet.push(`${what}: none`)
      continue
    }
    if (expect.status !== undefined) check(`${what} status`, response.status, expect.status)
    if (expect.body !== undefined) check(`${what} body`, response.text, expect.body)
    if (expect.framing !== undefined) check(`${what} framing`, response.framing, expect.framing)
    checkHeaders(what, response.headers, expect.headers)
    for (const [name, value] of Object.entries(expect.trailers ?? {})) {
      check(`${what} trailer ${name}`, response.trailer(name), value)
    }
    const line = observation.logLines[i]
    if (expect.log !== undefined && !line?.includes(expect.log)) check(`${what} log`, line, `…${expect.log}…`)
    const elapsed = observation.elapsedMs[i]!
    if (elapsed < (expect.atLeastMs ?? 0)) unmet.push(`${what}: came after ${elapsed} ms, at least ${expect.atLeastMs}`)
    if (elapsed > (expect.atMostMs ?? Infinity)) unmet.push(`${what}: took ${elapsed} ms, at most ${expect.atMostMs}`)
  }
  for (const [name, change] of Object.entries(scenario.expectStats ?? {})) {
    check(`stat ${name}`, observation.statChanges.get(name), change)
  }
  if (scenario.expectUpstream !== undefined) {
    check('upstream requests', observation.upstreamRequests.length, scenario.expectUpstream.length)
    for (const [i, expected] of scenario.expectUpstream.entries()) {
      const request = observation.upstreamRequests[i]
      if (request === undefined) continue
      const what = `upstream request ${i + 1}`
      if (expected.target !== undefined) check(`${what} target`, request.target, expected.target)
      if (expected.body !== undefined) check(`${what} body`, request.text, expected.body)
      checkHeaders(what, request.headers, expected.headers)
      checkHeaders(`${what} trailer`, request.trailers, expected.trailers)
    }
  }
  return unmet
}

export interface Difference {
  readonly scenario: string
  readonly field: string
  readonly left: string | undefined
  readonly right: string | undefined
}

/** Every field in which two sides differ. */
export function differences(
  left: ReadonlyMap<string, Observation>,
  right: ReadonlyMap<string, Observation>,
): Difference[] {
  const found: Difference[] = []
  for (const [scenario, { fields }] of left) {
    const others = right.get(scenario)?.fields ?? {}
    for (const field of new Set([...Object.keys(fields), ...Object.keys(others)])) {
      if (fields[field] !== others[field]) found.push({ scenario, field, left: fields[field], right: others[field] })
    }
  }
  return found
}

/** A difference from Envoy that is meant. `scenario` and `field` are whole names or patterns. */
export interface AllowedDifference {
  readonly suite: string
  readonly scenario: string | RegExp
  readonly field: string | RegExp
  readonly reason: string
  readonly source: string
}

/** Splits differences into those nobody allowed and allowances that allowed nothing. */
export function judge(
  suite: string,
  found: readonly Difference[],
  allowed: readonly AllowedDifference[],
): { unexpected: Difference[]; unused: AllowedDifference[] } {
  const used = new Set<AllowedDifference>()
  const mine = allowed.filter(entry => entry.suite === suite)
  const unexpected = found.filter(difference => {
    const entries = mine.filter(
      entry => matches(entry.scenario, difference.scenario) && matches(entry.field, difference.field),
    )
    for (const entry of entries) used.add(entry)
    return entries.length === 0
  })
  return { unexpected, unused: mine.filter(entry => !used.has(entry)) }
}

function matches(pattern: string | RegExp, text: string): boolean {
  return typeof pattern === 'string' ? pattern === text : pattern.test(text)
}

/** Differences for people, grouped by scenario. */
export function differenceText(found: readonly Difference[], left: string, right: string): string {
  const lines: string[] = []
  for (const [scenario, group] of Map.groupBy(found, difference => difference.scenario)) {
    lines.push(`${scenario}:`)
    for (const { field, left: a, right: b } of group) {
      lines.push(`  ${field}`, `    ${left}: ${shown(a)}`, `    ${right}: ${shown(b)}`)
    }
  }
  return lines.join('\n')
}

function shown(value: string | undefined): string {
  if (value === undefined) return '(absent)'
  return value.length > 300
    ? `${JSON.stringify(value.slice(0, 300))}… (${value.length} characters)`
    : JSON.stringify(value)
}
