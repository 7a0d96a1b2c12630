/** Our own proxy as users start it: the executable, a configuration file, a process. */
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { repository } from './install-once.ts'
import { TestProcess } from './process.ts'
import { ProxyProcess, temporaryFile, withAdmin } from './proxy-process.ts'

export const hopwisePath = join(repository, 'sidecar', 'bin', 'hopwise')

/**
 * Starts `hopwise run` with a YAML configuration and waits until it is ready. An admin listener is added where the
 * configuration has none; where it has one, `adminPort` says on which port.
 */
export async function startHopwise(
  yaml: string,
  options: {
    adminPort?: number
    args?: readonly string[]
    env?: Readonly<Record<string, string>>
    wait?: boolean
  } = {},
): Promise<ProxyProcess> {
  const adminPort = options.adminPort ?? (await freePort())
  const configPath = temporaryFile('envoy.yaml', withAdmin(yaml, adminPort))
  const process = TestProcess.start(hopwisePath, ['run', '-c', configPath, ...(options.args ?? [])], {
    name: 'hopwise',
    env: options.env ?? {},
  })
  const proxy = new ProxyProcess(process, adminPort, configPath)
  if (options.wait !== false) await proxy.waitReady()
  return proxy
}

/** What `hopwise run --mode validate --strict` says of a configuration. */
export async function hopwiseValidates(yaml: string): Promise<{ ok: boolean; output: string }> {
  const process = TestProcess.start(hopwisePath, [
    'run',
    '--mode',
    'validate',
    '--strict',
    '-c',
    temporaryFile('envoy.yaml', yaml),
  ])
  return { ok: (await process.exited) === 0, output: process.output }
}
