/** Each command and each file of the pages on attaching the sidecar, as they stand there (systemd.md: `systemd.test.ts`). */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { Stack } from '../../compose/stack.ts'
import { shell, withDocker } from '../kit/docker.ts'
import { blocks, docs, readDoc } from '../kit/docs-page.ts'
import { freePorts } from '../kit/free-port.ts'
import { hopwisePath } from '../kit/hopwise.ts'
import { repository } from '../kit/install-once.ts'
import { part, partOrSkip } from '../kit/parts.ts'
import { run, TestProcess } from '../kit/process.ts'
import { temporaryFile, temporaryFolder } from '../kit/proxy-process.ts'

/** Pages with commands: how many blocks of them, and who runs them. */
const RUN_BY: Readonly<Record<string, readonly [blocks: number, test: string]>> = {
  'docker.md': [1, 'test/real/docs.test.ts'],
  'from-envoy.md': [1, 'test/integration/from-envoy.test.ts'],
  'run-beside.md': [2, 'test/real/docs.test.ts'],
  'systemd.md': [1, 'test/real/systemd.test.ts'],
}

test('no page has commands that no test runs', () => {
  const commands = (page: string) =>
    [...readDoc(page).matchAll(/^```(.*)\n[\s\S]*?^```$/gm)].filter(([, language]) =>
      ['', 'sh', 'bash', 'shell', 'console'].includes(language!),
    )
  const counts = readdirSync(docs)
    .filter(name => name.endsWith('.md'))
    .map(name => [name, commands(name).length] as const)
    .filter(([, count]) => count > 0)
  assert.deepEqual(
    Object.fromEntries(counts),
    Object.fromEntries(Object.entries(RUN_BY).map(([name, [count]]) => [name, count])),
  )
  for (const [page, [, file]] of Object.entries(RUN_BY)) {
    assert.ok(readFileSync(join(repository, file), 'utf8').includes(`'${page}'`), `${file} reads ${page}`)
  }
})

test('docker.md: beside a service in Docker', { timeout: 900_000 }, async t => {
  const docker = await partOrSkip(t, 'docker')
  if (docker === undefined) return
  const client = await withDocker(docker)
  await part('curl')
  const quietly = (...args: string[]) => run(docker, args, { env: client.env }).catch(() => {})
  t.after(async () => {
    await quietly('rm', '--force', 'orders', 'orders-sidecar')
    await quietly('network', 'rm', 'shop')
    await client.stop()
  })
  // A service of the demonstration stands for the reader's.
  const stack = new Stack({ docker, env: client.env, overrides: ['compose.local-bases.yaml'] })
  await stack.compose('build', 'b')
  await run(docker, ['tag', 'hopwise/demo-go:dev', 'example/orders'], { env: client.env })
  const said = shell(blocks('docker.md', 'sh')[0]!, repository, client.env)
  assert.match(said, /\{"service":"d"\}/)
  assert.match(said, /no failures/)
  // `docker stop` drains and ends it in good order.
  await run(docker, ['stop', 'orders-sidecar'], { env: client.env })
  const { stdout } = await run(docker, ['inspect', '--format', '{{.State.ExitCode}}', 'orders-sidecar'], {
    env: client.env,
  })
  assert.equal(stdout.trim(), '0')
})

test('kubernetes.yaml: what Kubernetes takes, a native sidecar, and a configuration that loads', async t => {
  const validate = await partOrSkip(t, 'kubernetes-validate')
  if (validate === undefined) return
  const file = join(docs, 'kubernetes.yaml')
  await run(validate, ['--strict', '--quiet', file])
  // It would notice.
  const wrong = temporaryFile(
    'wrong.yaml',
    readDoc('kubernetes.yaml').replace('restartPolicy: Always', 'restartPolicies: x'),
  )
  await run(validate, ['--strict', '--quiet', wrong], { status: 1 })

  const [configMap, deployment] = parseAllDocuments(readDoc('kubernetes.yaml')).map(document => document.toJS())
  const [sidecar] = deployment.spec.template.spec.initContainers
  assert.equal(sidecar.restartPolicy, 'Always', 'else it is an init container that never ends')
  await run(hopwisePath, ['validate', temporaryFile('hopwise.yaml', configMap.data['hopwise.yaml'])])
  // What the probes ask is there; arguments are those of `hopwise run`.
  const ports = new Map(
    sidecar.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]),
  )
  const { admin, static_resources } = parse(configMap.data['hopwise.yaml'])
  assert.equal(ports.get('admin'), admin.address.socket_address.port_value)
  assert.equal(ports.get('ingress'), static_resources.listeners[0].address.socket_address.port_value)
  const args = [...sidecar.args, '--mode', 'validate'].map((arg: string) =>
    arg.startsWith('/etc/') ? temporaryFile('hopwise.yaml', configMap.data['hopwise.yaml']) : arg,
  )
  await run(hopwisePath, args)

  // It is orders.yaml but for what it says itself.
  const orders = parse(readDoc('orders.yaml'))
  orders.admin.address.socket_address.address = '0.0.0.0'
  payments(orders).port_value = 80
  assert.deepEqual(parse(configMap.data['hopwise.yaml']), orders)
})

/** The address of the service that is called, in a configuration as it was parsed. */
function payments(configuration: ReturnType<typeof parse>): { port_value: number } {
  const cluster = configuration.static_resources.clusters.find(({ name }: { name: string }) => name === 'payments')
  return cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
}

test('kubernetes.yaml: what the application is told takes its calls out through the sidecar', async t => {
  await part('curl')
  const [configMap, deployment] = parseAllDocuments(readDoc('kubernetes.yaml')).map(document => document.toJS())
  const [ingress, egress, admin, callee] = await freePorts(4)
  const configuration = parse(
    configMap.data['hopwise.yaml']
      .replaceAll('15006', String(ingress))
      .replaceAll('15001', String(egress))
      .replaceAll('9901', String(admin)),
  )
  Object.assign(payments(configuration), { address: '127.0.0.1', port_value: callee })
  const server = createServer((request, response) => response.end(`${request.headers.host} ${request.url}`))
  server.listen(callee, '127.0.0.1')
  const sidecar = TestProcess.start(hopwisePath, ['run', '--config-yaml', JSON.stringify(configuration)], {
    name: 'hopwise',
  })
  t.after(async () => {
    server.close()
    await sidecar.stop('SIGKILL')
  })
  await sidecar.waitForPort(egress!)
  const { env } = deployment.spec.template.spec.containers[0] as { env: { name: string; value: string }[] }
  const told = Object.fromEntries(env.map(({ name, value }) => [name, value.replace('15001', String(egress))]))
  const { stdout } = await run('curl', ['--silent', '--fail', 'http://payments/bill'], { env: told })
  assert.equal(stdout, 'payments /bill')
})

test('run-beside.md: the application starts with the sidecar and ends with it', async t => {
  const [ingress, egress, admin, app] = await freePorts(4)
  const ports = (text: string) =>
    text
      .replaceAll('15006', String(ingress))
      .replaceAll('15001', String(egress))
      .replaceAll('9901', String(admin))
      .replaceAll('8080', String(app))
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'app.js'), ports(blocks('run-beside.md', 'js')[0]!))
  const configuration = temporaryFile('orders.yaml', ports(readDoc('orders.yaml')))
  const [start, ask] = blocks('run-beside.md', 'sh')
  const command = start!
    .trim()
    .replace('sidecar/bin/hopwise', `exec ${hopwisePath}`)
    .replace('sidecar/docs/orders.yaml', configuration)
  const both = TestProcess.start('sh', ['-c', command], { cwd: folder, name: 'hopwise and app.js' })
  t.after(() => both.stop('SIGKILL'))
  await part('curl')
  await both.waitForPort(app!)
  assert.equal(shell(ports(ask!), folder, {}), 'orders: /today\n')
  both.signal('SIGTERM')
  assert.equal(await both.exited, 0, both.output)
})
