/**
 * Proves that the stack of `compose.yaml` finds what is broken: `node compose/verify.ts` brings it up, breaks one thing
 * after another ({@link CELLS}), and asks four independent witnesses who it was:
 *
 * - the answers: inside the mesh `proxy-status` names the origin, at the edge there is only an `x-failure-id`;
 * - Prometheus: `topk(1, … increase(hopwise_failures_total{role="origin"}[…]))` over the time of the fault;
 * - Zipkin: the span of that failure with `failure.role=origin` is tagged with it;
 * - the page: whom it marks as the origin, `/failures` of all sidecars, merged, and `/failures/<id>` of the edge for the id
 *   that a caller got.
 *
 *   node compose/verify.ts [--local-bases] [--only TEXT]… [--keep]
 */
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get as httpsGet } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { judge, type Named, nameCulprit } from '../demo-services/judge.ts'
import { type Counters, evidenceOf, secondsPerRequest } from '../demo-services/sidecar-output.ts'
import { describe } from '../demo-services/terminal.ts'
import { medianMs, type Seen, summaryOf } from '../demo-services/traffic.ts'
import type { MeshView } from '../sidecar/admin/mesh-view.ts'
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import type { Cell } from './cell.ts'
import { CELLS } from './cells.ts'
import { Stack } from './stack.ts'
import {
  type Answer,
  edgeProblems,
  markedProblems,
  meshProblems,
  nobodysProblems,
  tellingProblems,
} from './witnesses.ts'

const WINDOW_MS = 2000
/** Requests a second: as many as leave most of them alone, on this machine. */
const MOST_RATE = 7
const LEAST_RATE = 3
const MOST_OVERLAP = 0.3
const WARM_MS = 3000
const MEASURED_MS = 2000
/** Of one cell, or there is too little to see. */
const LEAST_REQUESTS = 14
/** Sidecars finish their books: calls abandoned by an application that has answered end a little later. */
const SETTLE_MS = 200
const WELL_AGAIN = 6
const RECOVERY_MS = 30_000
/** Prometheus asks everybody every second; a sidecar that has much to do may let one question pass. */
const SCRAPED_MS = 10_000
/** Spans are sent every few seconds. */
const ZIPKIN_MS = 15_000
const POLL_MS = 150
/** Longer than a request takes. */
const QUIET_MS = 1500
/** Whoever makes a burst keeps it up a little longer than the fault lasts. */
const BURST_MORE_MS = 200
/** Samples of answers, at the edge and inside, taken while it is broken. */
const SAMPLES = 3

/** Of one request, from the edge down; b is not traced. */
const WAY = [
  ...['front CLIENT', 'a SERVER', 'a-app SERVER', 'a-app CLIENT', 'a CLIENT', 'b SERVER', 'b CLIENT'],
  ...['c SERVER', 'c-app SERVER', 'c-app CLIENT', 'c CLIENT', 'd SERVER'],
]

export interface Verdict {
  readonly cell: Cell
  /** One line for people. */
  readonly told: string
  /** What was not as it should be, one line each; none when all is right. */
  readonly problems: readonly string[]
}

type Said = Pick<FailureEntry, 'origin'> & { readonly cause: string }
const NOTHING: Said = { origin: 'nothing', cause: '' }

interface PrometheusSample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [at: number, value: string]
}

interface ZipkinSpan {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly kind?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly localEndpoint?: { readonly serviceName?: string }
}

export class Verification {
  readonly #stack: Stack
  readonly #traffic: string
  readonly #edge: string
  readonly #admin: string
  readonly #zipkin: string
  readonly #prometheus: string
  #ca = ''
  #rate = MOST_RATE
  #usual: ReadonlyMap<string, number> = new Map()

  /** Of a stack that is up. */
  constructor(stack: Stack) {
    this.#stack = stack
    this.#traffic = stack.url('traffic', 8081)
    this.#edge = stack.url('front', 8443, 'https')
    this.#admin = stack.url('front', 9901)
    this.#zipkin = stack.url('zipkin', 9411)
    this.#prometheus = stack.url('prometheus', 9090)
  }

  /** Waits until requests go through, and learns what is usual. */
  async begin(): Promise<void> {
    this.#ca = await this.#text(`${this.#traffic}/site-ca.pem`)
    await this.#recovered()
    // What has just started is slow as long as it compiles what it runs.
    await this.#post('/traffic', JSON.stringify({ rate: MOST_RATE }))
    await delay(WARM_MS + MEASURED_MS)
    const { callers } = await this.#json<{ callers: Seen[] }>(
      `${this.#traffic}/report?since=${Date.now() - MEASURED_MS}`,
    )
    await this.#keepApart(callers)
    await this.#post('/traffic', JSON.stringify({ rate: 2 }))
    const before = await this.#counters()
    await delay(3000)
    this.#usual = secondsPerRequest(before, await this.#counters())
    await this.#post('/traffic', '{}')
  }

  /**
   * Breaks, asks, mends. Zipkin's answer comes late, and Prometheus can be asked later about the time of the fault, so
   * `verdict` is to be awaited while the next cell goes on.
   */
  async run(cell: Cell): Promise<{ readonly verdict: Promise<Verdict> }> {
    const problems: string[] = []
    const windowMs = Math.max(cell.windowMs ?? WINDOW_MS, (LEAST_REQUESTS / this.#rate) * 1000)
    const before = await this.#counters()
    const since = Date.now()
    if (cell.traffic !== undefined) await this.#post('/traffic', JSON.stringify(cell.traffic))
    if (cell.stopped !== undefined) await this.#stack.compose('kill', ...cell.stopped)
    if (cell.paused !== undefined) await this.#stack.compose('pause', ...cell.paused)
    if (cell.terms.length > 0) await this.#post('/break', cell.terms.join(' '))
    if (cell.burst !== undefined) {
      await this.#post('/burst', JSON.stringify({ ...cell.burst, forMs: windowMs + BURST_MORE_MS }))
    }
    const path = cell.traffic?.path ?? '/shop/'
    // What the edge itself answers is no part of what a is asked.
    const inner = encodeURIComponent(path.startsWith('/shop/') ? path.replace('/shop', '') : '/')
    const [edge, mesh] = await Promise.all([
      this.#sample(cell.samples ?? SAMPLES, 0, windowMs, () => this.askEdge(path)),
      this.#sample(cell.samples ?? SAMPLES, 0.5, windowMs, () =>
        this.#json<Answer>(`${this.#traffic}/call?of=a&path=${inner}`),
      ),
      delay(windowMs),
    ])
    // What comes later is about the mending.
    const until = Date.now()
    const mended = Promise.all([this.#mend(cell, until), this.#scrapedSince(until)]).then(() =>
      // What stood still had no answer for Prometheus either, and counts what it had in hand only now.
      cell.paused === undefined ? undefined : this.#scrapedSince(Date.now()),
    )
    await delay(SETTLE_MS)
    const { failures } = await this.#json<{ failures: FailureEntry[] }>(`${this.#traffic}/failures?since=${since}`)
    const { callers } = await this.#json<{ callers: Seen[] }>(`${this.#traffic}/report?since=${since}`)
    const view = await this.#json<MeshView>(`${this.#traffic}/mesh`)
    const after = await this.#counters()
    const entries = failures.filter(entry => entry.at <= until)
    const evidence = evidenceOf(entries, before, after, this.#usual)
    const named = nameCulprit(evidence)
    const verdict = judge(named, cell.truth, evidence)
    if (!verdict.right) problems.push(`the page (/failures) says ${describe(named)}: ${verdict.why}`)

    if (named !== undefined) problems.push(...tellingProblems(named, entries, cell))
    const { origin } = cell.truth
    const slow = cell.truth.outcomes.includes('slow')
    const visible = named?.outcome === 'visible'
    if (origin !== undefined && !slow) {
      if (visible) {
        problems.push(...edgeProblems(edge, callers))
        // What the edge itself refuses is no part of what a calls.
        if (origin !== 'front') problems.push(...meshProblems(mesh, cell))
        problems.push(...markedProblems(view, cell), ...(await this.#pageProblems(callers, cell)))
      }
    }
    if (origin === undefined) problems.push(...nobodysProblems(before, after))
    await mended
    const { callers: well } = await this.#json<{ callers: Seen[] }>(`${this.#traffic}/report?since=${until}`)
    await this.#keepApart(well)
    const prometheus = slow ? [] : this.#prometheusProblems(since, Date.now(), cell)
    const told = `${describe(named)}; callers saw ${summaryOf(callers)}, median ${medianMs(callers).toFixed(0)} ms`
    const zipkin =
      named !== undefined && origin !== undefined && !slow ? this.#zipkinProblems(named, entries, cell) : []
    return {
      verdict: Promise.all([prometheus, zipkin]).then(more => ({
        cell,
        told,
        problems: [...problems, ...more.flat()],
      })),
    }
  }

  /**
   * b copies no headers: its sidecar is sure of what belongs together as long as few requests overlap. How many do depends
   * on how busy the machine is just now.
   */
  async #keepApart(callers: readonly Seen[]): Promise<void> {
    const answered = callers.filter(({ what }) => what === '200')
    if (answered.length === 0) return
    this.#rate = Math.max(LEAST_RATE, Math.min(MOST_RATE, (MOST_OVERLAP * 1000) / medianMs(answered)))
    await this.#post('/rate', this.#rate.toFixed(2))
  }

  async #mend(cell: Cell, brokenAt: number): Promise<void> {
    if (cell.stopped !== undefined)
      await this.#stack.compose('up', '--detach', '--no-deps', '--no-build', ...cell.stopped)
    if (cell.paused !== undefined) await this.#stack.compose('unpause', ...cell.paused)
    if (cell.returnsMs !== undefined) await delay(Math.max(0, cell.returnsMs - (Date.now() - brokenAt) + 500))
    const deadline = Date.now() + RECOVERY_MS
    // A service that is just coming back does not take the order yet.
    for (;;) {
      try {
        await this.#post('/break', 'all=well')
        break
      } catch (error) {
        if (Date.now() > deadline) throw error
        await delay(POLL_MS)
      }
    }
    await this.#post('/traffic', '{}')
    await this.#recovered()
  }

  async #recovered(): Promise<void> {
    const deadline = Date.now() + RECOVERY_MS
    for (;;) {
      const { successes } = await this.#json<{ successes: number }>(`${this.#traffic}/report?since=${Date.now()}`)
      if (successes >= WELL_AGAIN) return
      if (Date.now() > deadline) throw new Error(`the chain did not recover in ${RECOVERY_MS / 1000} s`)
      await delay(POLL_MS)
    }
  }

  /**
   * Asks a few times in the first two thirds of the window, so that even what hangs has answered by its end. `offset` of a
   * step later than others that ask, for the sidecars tell requests apart by their times.
   */
  async #sample<T>(times: number, offset: number, windowMs: number, ask: () => Promise<T>): Promise<T[]> {
    const stepMs = (windowMs * 2) / 3 / times
    const asked: Promise<T | undefined>[] = []
    await delay(offset * stepMs)
    for (let i = 0; i < times; i++) {
      // A connection that broke has no head to look at.
      asked.push(ask().catch(() => undefined))
      await delay(stepMs)
    }
    return (await Promise.all(asked)).filter(answer => answer !== undefined)
  }

  /** What the last caller got; 0 for no answer. */
  async lastStatus(): Promise<number> {
    const { callers } = await this.#json<{ callers: Seen[] }>(`${this.#traffic}/report?since=${Date.now() - 1000}`)
    return Number(callers.at(-1)?.what) || 0
  }

  /**
   * One request alone, at the edge: its spans are one trace, each below the one that called it. b copies no headers: with
   * one request at a time its sidecar is sure whose call it is.
   */
  async oneTrace(): Promise<void> {
    await this.#post('/traffic', JSON.stringify({ rate: 0.05 }))
    await delay(2000)
    const path = `/shop/one-${Date.now()}`
    const { status } = await this.askEdge(path)
    if (status !== 200) throw new Error(`${path}: ${status}`)
    const query = new URLSearchParams({ annotationQuery: `http.url=https://shop.example${path}`, limit: '10' })
    let seen: string[] = []
    const deadline = Date.now() + ZIPKIN_MS
    do {
      await delay(POLL_MS)
      const [spans = []] = await this.#json<ZipkinSpan[][]>(`${this.#zipkin}/api/v2/traces?${query}`)
      const byId = new Map(spans.map(span => [span.id, span]))
      const step = ({ localEndpoint, kind }: ZipkinSpan) => `${localEndpoint?.serviceName} ${kind}`
      seen = []
      const last = spans.find(span => step(span) === 'd SERVER')
      for (let span = last; span !== undefined; span = byId.get(span.parentId ?? '')) seen.unshift(step(span))
      if (seen.join() === WAY.join()) {
        await this.#post('/traffic', '{}')
        return
      }
    } while (Date.now() < deadline)
    throw new Error(`from the edge to d, the spans are ${seen.join(', ')}; they should be ${WAY.join(', ')}`)
  }

  /**
   * How many of `requests` to the edge, made one after another while nobody else asks, each instance of d got: by the
   * counters of their own sidecars.
   */
  async requestsPerInstance(requests: number): Promise<Record<string, number>> {
    await this.#post('/traffic', JSON.stringify({ rate: 0.01 }))
    await delay(QUIET_MS)
    const before = await this.#counters()
    for (let i = 0; i < requests; i++) {
      const { status } = await this.askEdge()
      if (status !== 200) throw new Error(`request ${i} of ${requests}: ${status}`)
    }
    await delay(SETTLE_MS)
    const after = await this.#counters()
    await this.#post('/traffic', '{}')
    const handled = (counters: Counters, instance: string) =>
      [...(counters.get(instance) ?? [])].find(([key]) => key.startsWith('envoy_http_downstream_rq_completed{'))?.[1] ??
      0
    return Object.fromEntries(
      ['d1', 'd2', 'd3'].map(instance => [instance, handled(after, instance) - handled(before, instance)]),
    )
  }

  /** Who calls whom, as Zipkin makes it of the spans. */
  async dependencies(): Promise<void> {
    const links = await this.#json<{ parent: string; child: string }[]>(
      `${this.#zipkin}/api/v2/dependencies?endTs=${Date.now()}`,
    )
    const found = links.map(({ parent, child }) => `${parent}>${child}`)
    const missing = ['front>a', 'a>b', 'b>c', 'c>d'].filter(link => !found.includes(link))
    const wrong = found.filter(link => /^d>|>front$|^[bcd]>a$|^[cd]>b$|^d>c$/.test(link))
    if (missing.length + wrong.length > 0) {
      throw new Error(`missing ${missing.join(', ')}; wrong ${wrong.join(', ')}; all: ${found.join(', ')}`)
    }
  }

  askEdge(path = '/shop/'): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const options = { ca: this.#ca, servername: 'shop.example', headers: { host: 'shop.example' }, timeout: 10_000 }
    const request = httpsGet(this.#edge + path, { ...options, agent: false }, response => {
      response.resume()
      response.on('error', () => {})
      response.on('close', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }))
    })
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', reject)
    return promise
  }

  /** The page of the edge (or of the mesh) has, for most ids that callers were given, the right origin and cause. */
  async #pageProblems(callers: readonly Seen[], { truth, seldom, heardLate }: Cell): Promise<string[]> {
    const ids = callers.map(({ failureId }) => failureId).filter(id => id !== '')
    if (ids.length === 0) return seldom === true ? [] : ['no caller was given an id']
    const said: string[] = []
    for (const id of ids.slice(0, 20)) {
      const { origin, cause } = await (heardLate === true ? this.#saidByAll(id) : this.#saidByEdge(id)).catch(
        () => NOTHING,
      )
      if (origin !== truth.origin || !(truth.causes as readonly string[]).includes(cause))
        said.push(`${origin}: ${cause}`)
    }
    if (said.length < Math.min(ids.length, 20) / 2) return []
    return [
      `${heardLate === true ? '/mesh/failure' : '/failures'}/<id> says ${said.join(', ')}, of ids that callers got`,
    ]
  }

  async #saidByEdge(id: string): Promise<Said> {
    const { failures } = await this.#json<{ failures: FailureEntry[] }>(`${this.#admin}/failures/${id}?format=json`)
    return failures[0] ?? NOTHING
  }

  async #saidByAll(id: string): Promise<Said> {
    return await this.#json<Said>(`${this.#traffic}/mesh/failure/${id}`)
  }

  /** Resolves when Prometheus has asked every sidecar since then: what it knows now is whole. */
  async #scrapedSince(since: number): Promise<void> {
    const deadline = Date.now() + SCRAPED_MS
    for (;;) {
      const [oldest] = await this.#prometheusSays('min(timestamp(up{job="hopwise"}))', Date.now())
      if (Number(oldest?.value[1] ?? 0) * 1000 >= since) return
      if (Date.now() > deadline) throw new Error(`Prometheus has not asked all sidecars in ${SCRAPED_MS / 1000} s`)
      await delay(POLL_MS)
    }
  }

  /** As of the moment `at`, whenever that is asked. */
  async #prometheusSays(query: string, at: number): Promise<PrometheusSample[]> {
    const { data } = await this.#json<{ data: { result: PrometheusSample[] } }>(
      `${this.#prometheus}/api/v1/query?query=${encodeURIComponent(query)}&time=${(at / 1000).toFixed(3)}`,
    )
    return data.result
  }

  /** From when it was broken until it was mended. */
  async #prometheusProblems(since: number, until: number, { truth }: Cell): Promise<string[]> {
    const seconds = Math.ceil((until - since) / 1000)
    // A series that was not there before began at 0, of which `increase` knows nothing.
    const rose = (failures: string) =>
      `((${failures} unless ${failures} offset ${seconds}s) or increase(${failures}[${seconds}s]))`
    const by = (labels: string, role: string) =>
      `topk(1, sum by (${labels}) ${rose(`hopwise_failures_total{role="${role}"}`)} > 0)`
    const [top] = await this.#prometheusSays(by('origin, cause', 'origin'), until)
    const said = top === undefined ? 'nothing' : `${top.metric['origin']}: ${top.metric['cause']}`
    if (truth.origin === undefined) {
      const [cancelled] = await this.#prometheusSays(by('role', 'cancelled'), until)
      if (top !== undefined) return [`Prometheus says ${said}, though nobody is to be blamed`]
      return cancelled === undefined ? ['Prometheus knows of nothing that was cancelled'] : []
    }
    if (truth.causes.some(cause => said === `${truth.origin}: ${cause}`)) return []
    return [`Prometheus says ${said}`]
  }

  async #zipkinProblems(told: Named, entries: readonly FailureEntry[], { truth }: Cell): Promise<string[]> {
    const id = told.failureId
    const own = entries.find(entry => entry.id === id && entry.role === 'origin')
    // One failure may be known by the ids of both ends of a link.
    const ids = new Set([
      id,
      ...entries.filter(entry => entry.aliases.includes(id)).map(entry => entry.id),
      ...(own?.aliases ?? []),
    ])
    const deadline = Date.now() + ZIPKIN_MS
    let said = 'no span of it'
    do {
      await delay(POLL_MS * 2)
      for (const one of ids) {
        const query = new URLSearchParams({ annotationQuery: `failure.id=${one}`, limit: '10', lookback: '60000' })
        const traces = await this.#json<ZipkinSpan[][]>(`${this.#zipkin}/api/v2/traces?${query}`).catch(
          (error: Error) => {
            said = `no answer (${error.message})`
            return []
          },
        )
        const spans = traces.flat().filter(span => span.tags?.['failure.id'] === one)
        for (const { tags = {}, localEndpoint } of spans) {
          said = `${tags['failure.origin']}: ${tags['failure.cause']} (${tags['failure.role']} of ${localEndpoint?.serviceName})`
          // A failure that nobody saw is an origin all the same.
          if (!['origin', 'masked', 'retried'].includes(tags['failure.role'] ?? '')) continue
          if (tags['failure.origin'] !== truth.origin) return [`Zipkin says ${said}`]
          // The same failure, so the same cause, whatever else was right to say of the time.
          if (tags['failure.cause'] !== told.cause) return [`Zipkin says ${said}, and not ${told.cause}`]
          return tags['error'] === undefined ? [`Zipkin's span of the origin is not marked as an error`] : []
        }
      }
    } while (Date.now() < deadline)
    return [`Zipkin has ${said}`]
  }

  async #counters(): Promise<Counters> {
    const all = await this.#json<[string, [string, number][]][]>(`${this.#traffic}/counters`)
    return new Map(all.map(([instance, values]) => [instance, new Map(values)]))
  }

  async #post(path: string, body: string): Promise<void> {
    const response = await fetch(this.#traffic + path, { method: 'POST', body, signal: AbortSignal.timeout(15_000) })
    if (!response.ok) throw new Error(`${path} ${body}: ${response.status} ${await response.text()}`)
  }

  async #text(url: string): Promise<string> {
    const response = await fetch(url, { signal: AbortSignal.timeout(15_000) })
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
    return await response.text()
  }

  async #json<T>(url: string): Promise<T> {
    return JSON.parse(await this.#text(url)) as T
  }
}

/**
 * All cells, each told when it has its verdict. On a machine that is busy with other things a request may fail by itself;
 * a cell that was not named rightly by all is run once more, at the end. That many may need it, and no more.
 */
export async function verifyCells(
  verification: Verification,
  cells: readonly Cell[],
  tell: (verdict: Verdict) => void,
): Promise<{ readonly verdicts: readonly Verdict[]; readonly again: readonly Verdict[] }> {
  const once = async (some: readonly Cell[]) => {
    const verdicts: Promise<Verdict>[] = []
    for (const cell of some) {
      const { verdict } = await verification.run(cell)
      verdicts.push(verdict)
      verdict.then(tell, () => {})
    }
    return await Promise.all(verdicts)
  }
  const first = await once(cells)
  const again = first.filter(({ problems }) => problems.length > 0)
  const second = new Map((await once(again.map(({ cell }) => cell))).map(verdict => [verdict.cell, verdict]))
  return { verdicts: first.map(verdict => second.get(verdict.cell) ?? verdict), again }
}

/** Of the cells, so many are named rightly at once. */
export const LEAST_AT_ONCE = 0.9

/** Prometheus' files with a scrape every second: each cell lasts only a few. */
export function frequentScrapes(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hopwise-prometheus-'))
  cpSync(join(import.meta.dirname, '..', 'observability', 'prometheus'), folder, { recursive: true })
  const file = join(folder, 'prometheus.yml')
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/(scrape|evaluation)_interval: \S+/g, '$1_interval: 1s'))
  // Read by another user, in a container.
  chmodSync(folder, 0o755)
  return folder
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      'local-bases': { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [''] },
      keep: { type: 'boolean', default: false },
    },
  })
  const overrides = values['local-bases'] ? ['compose.local-bases.yaml'] : []
  const prometheus = frequentScrapes()
  const stack = new Stack({ overrides, env: { FIRST_FAULT: '', RATE: '8', PROMETHEUS_CONFIG: prometheus } })
  const cells = CELLS.filter(({ title }) => values.only.some(text => title.includes(text)))
  let wrong = 0
  try {
    await stack.build()
    await stack.up()
    const verification = new Verification(stack)
    await verification.begin()
    const { verdicts, again } = await verifyCells(verification, cells, ({ cell, told, problems }) => {
      console.log(`${problems.length === 0 ? '√' : '×'} ${cell.title}: ${told}`)
      for (const problem of problems) console.log(`    ${problem}`)
    })
    wrong = verdicts.filter(({ problems }) => problems.length > 0).length
    if (again.length > (1 - LEAST_AT_ONCE) * cells.length) {
      console.log(`${again.length} cells had to be run again`)
      wrong = Math.max(wrong, 1)
    }
  } finally {
    if (!values.keep) await stack.down()
    if (!values.keep) rmSync(prometheus, { recursive: true })
  }
  console.log(`${cells.length - wrong} of ${cells.length} named rightly by all`)
  return wrong === 0 ? 0 : 1
}

if (import.meta.main) process.exitCode = await main()
