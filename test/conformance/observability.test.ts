/**
 * Rules, alerts and dashboards of `observability/`: promtool is content with the files and their cases, and every query of
 * every panel gives data from a real Prometheus that scrapes the running chain while some of it is broken.
 */
import assert from 'node:assert/strict'
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { Chain } from '../../demo-services/chain.ts'
import { APPLICATIONS, layPorts, SIDECARS, serviceOf } from '../../demo-services/layout.ts'
import { Traffic } from '../../demo-services/traffic.ts'
import { freePort } from '../kit/free-port.ts'
import { repository } from '../kit/install-once.ts'
import { partOrSkip } from '../kit/parts.ts'
import { TestProcess } from '../kit/process.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const prometheusFolder = join(repository, 'observability', 'prometheus')
const grafanaFolder = join(repository, 'observability', 'grafana')

interface Panel {
  readonly title: string
  readonly targets: readonly { readonly expr: string }[]
}
interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: { readonly query: string } }[]
  }
}

const dashboards = globSync('dashboards/*.json', { cwd: grafanaFolder })
  .sort()
  .map(file => JSON.parse(readFileSync(join(grafanaFolder, file), 'utf8')) as Dashboard)

test('promtool is content with the rules, and they say what their cases expect', async t => {
  const promtool = await partOrSkip(t, 'promtool')
  if (promtool === undefined) return
  for (const args of [
    ['check', 'config', 'prometheus.yml'],
    ['check', 'rules', 'rules.yml', 'alerts.yml'],
    ['test', 'rules', 'alerts.test.yml'],
  ]) {
    const done: SpawnSyncReturns<string> = spawnSync(promtool, args, { cwd: prometheusFolder, encoding: 'utf8' })
    assert.equal(done.status, 0, done.stdout + done.stderr)
  }
})

test('every alert has a case', () => {
  const names = (file: string) => [
    ...readFileSync(join(prometheusFolder, file), 'utf8').matchAll(/\balert(?:name)?: (\w+)/g),
  ]
  const tested = new Set(names('alerts.test.yml').map(match => match[1]))
  const missing = names('alerts.yml')
    .map(match => match[1])
    .filter(name => !tested.has(name))
  assert.deepEqual(missing, [])
})

test('Grafana can load what it is given: ids are unique, data sources are those provisioned', () => {
  const { datasources } = parse(readFileSync(join(grafanaFolder, 'provisioning/datasources/hopwise.yaml'), 'utf8')) as {
    datasources: { uid: string }[]
  }
  const known = new Set(datasources.map(({ uid }) => uid))
  assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, 3)
  for (const dashboard of dashboards) {
    const panels = dashboard.panels as unknown as { id: number; datasource: { uid: string } }[]
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length, dashboard.title)
    for (const { datasource } of panels) assert.ok(known.has(datasource.uid), datasource.uid)
  }
})

test('every query of every panel gives data of the running chain, and the first failing hop is the one broken', async t => {
  const prometheus = await partOrSkip(t, 'prometheus')
  if (prometheus === undefined) return
  const chain = new Chain(await layPorts(0), false, { mtls: true })
  const traffic = new Traffic(chain.ports.edge)
  try {
    await chain.start()
    const port = await freePort()
    await using _server = TestProcess.start(
      prometheus,
      [
        `--config.file=${scrapeConfig(chain)}`,
        `--web.listen-address=127.0.0.1:${port}`,
        `--storage.tsdb.path=${join(temporaryFolder(), 'data')}`,
        '--enable-feature=exemplar-storage',
        '--log.level=warn',
      ],
      { name: 'prometheus' },
    )
    const query = async (expr: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]> => {
      const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expr)}`
      const answer = (await (await fetch(url)).json()) as { status: string; error?: string; data?: { result: [] } }
      assert.equal(answer.status, 'success', `${expr}: ${answer.error}`)
      return answer.data!.result
    }
    await waitFor(async () => (await query('up{job="hopwise"} == 1').catch(() => [])).length === SIDECARS.length, {
      deadlineMs: 30_000,
      what: 'the first scrape of every sidecar',
    })
    await waitFor(async () => (await query('up{job="applications"} == 1')).length === 6, {
      deadlineMs: 30_000,
      what: 'the applications',
    })
    traffic.start()
    await chain.inject([{ kind: 'behave', instance: 'b', behaviour: { status: 500 } }])
    await waitFor(
      async () => Number((await query('sum(hopwise_failures_total{role="origin",origin="b"})'))[0]?.value[1] ?? 0) > 20,
      { deadlineMs: 30_000, what: 'failures that began at b' },
    )
    await waitFor(async () => (await query('http_requests_total{application="d"} > 0')).length > 0, {
      what: 'what an application tells of itself',
    })
    await waitFor(async () => (await query('hopwise:own_seconds:rate1m')).length > 0, {
      deadlineMs: 30_000,
      what: 'the recording rules',
    })
    for (const dashboard of dashboards) {
      for (const { title, targets } of dashboard.panels) {
        for (const { expr } of targets) {
          const filled = fill(expr, dashboard)
          // A rate needs two scrapes of a series; those of a rare event come late.
          await waitFor(async () => (await query(filled)).length > 0, {
            deadlineMs: 15_000,
            what: `data for "${dashboard.title} / ${title}": ${filled}`,
          })
        }
      }
    }
    // Of a machine that was busy while the chain came up there may be some of another kind, in the first minute.
    let first: Record<string, string> | undefined
    await waitFor(
      async () => {
        first = (await query('topk(1, sum by (origin, cause) (hopwise:failure_origins:increase1m))'))[0]?.metric
        return first?.['origin'] === 'b' && first['cause'] === 'app_error'
      },
      { deadlineMs: 60_000, what: 'b as the first failing hop' },
    ).catch((error: Error) => assert.fail(`${error.message}; it is ${JSON.stringify(first)}`))
    // The alert reads a recording rule of another group, so it comes an evaluation later.
    await waitFor(
      async () => (await query('ALERTS{alertname="FailureOriginFound",origin="b",alertstate="firing"}')).length > 0,
      {
        deadlineMs: 30_000,
        what: 'the alert',
      },
    )
    // A dot on the graph of latencies is a request whose trace can be looked at.
    const now = Date.now() / 1000
    const range = `start=${now - 60}&end=${now}`
    const series = 'envoy_cluster_upstream_rq_time_bucket'
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query_exemplars?query=${series}&${range}`)
    const { data } = (await answer.json()) as { data: { exemplars: { labels: { trace_id: string } }[] }[] }
    const traces = data.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels.trace_id))
    assert.ok(traces.length > 0, 'there are exemplars')
    const trace = await fetch(`http://127.0.0.1:${chain.ports.traceStore}/api/v2/trace/${traces.at(-1)}`)
    assert.equal(trace.status, 200, `the trace ${traces.at(-1)}`)
  } finally {
    traffic.stop()
    await chain.stop()
  }
})

/** The committed scrape configuration with the ports of this chain, scraped every second. */
function scrapeConfig(chain: Chain): string {
  const folder = temporaryFolder()
  const config = parse(readFileSync(join(prometheusFolder, 'prometheus.yml'), 'utf8')) as {
    global: Record<string, string>
    scrape_configs: { static_configs: { targets: string[]; labels: { sidecar: string; application: string } }[] }[]
    rule_files: string[]
  }
  config.global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' }
  config.rule_files = config.rule_files.map(file => join(prometheusFolder, file))
  const committed = config.scrape_configs[0]!.static_configs
  const names = new Set(SIDECARS.map(serviceOf))
  assert.deepEqual(new Set(committed.map(({ labels }) => labels.sidecar)), names)
  for (const one of committed) {
    const instances = SIDECARS.filter(name => serviceOf(name) === one.labels.sidecar)
    assert.equal(one.targets.length, instances.length)
    one.targets = instances.map(name => `127.0.0.1:${chain.ports.of[name]!.admin}`)
  }
  for (const one of config.scrape_configs[1]!.static_configs) {
    const instances = APPLICATIONS.filter(name => serviceOf(name) === one.labels.application)
    assert.equal(one.targets.length, instances.length)
    one.targets = instances.map(name => `127.0.0.1:${chain.ports.of[name]!.ops}`)
  }
  const file = join(folder, 'prometheus.json')
  writeFileSync(file, JSON.stringify(config))
  return file
}

/** The query as Grafana sends it with every variable on "All". */
function fill(expr: string, { templating }: Dashboard): string {
  let filled = expr.replaceAll('$__rate_interval', '10s')
  for (const { name } of templating.list) filled = filled.replaceAll(`$${name}`, '.*')
  assert.ok(!filled.includes('$'), `a variable is not defined: ${filled}`)
  return filled
}
