/** `hopwise run`: reads like a table of contents; what each step does is in the room it calls. */
import { watch } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { basename, dirname } from 'node:path'
import type { CliIo } from './base/verb.ts'
import { VERSION } from './base/version.ts'
import { type LoadedBootstrap, loadBootstrap } from './config/bootstrap.ts'
import { inOrder, reportWriters } from './config/problem-report.ts'
import { formatProblem } from './config/problems.ts'
import { schema } from './config/schema/table.ts'
import { httpFilters, listenerFilters, loadBalancingPolicies } from './extensions.ts'
import type { AnyHttpFilterFactory } from './filter-chain/http-filter.ts'
import { logger } from './observability/logging.ts'
import { checkConfiguration } from './server/check-configuration.ts'
import { configureLog } from './server/configure-log.ts'
import { loadExtension } from './server/load-extension.ts'
import { notifySystemd } from './server/notify-systemd.ts'
import { parseServerOptions, RUN_HELP, type ServerOptions, UsageError } from './server/options.ts'
import { Server, StartError } from './server/server.ts'
import { spanReporterOfEnvironment } from './server/span-reporter.ts'
import { superviseCommand } from './server/supervise-command.ts'

const log = logger('main')

/** Editors and Kubernetes replace files in several steps; the last one counts. */
const SETTLE_MS = 100

export async function run(args: string[], io: CliIo): Promise<number> {
  let options: ServerOptions | 'help'
  try {
    options = parseServerOptions(args)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    io.error(`hopwise run: ${error.message}\n`)
    return 2
  }
  if (options === 'help') {
    io.out(RUN_HELP)
    return 0
  }
  configureLog(options)
  for (const name of options.withoutEffect) log.info({ option: `--${name}` }, 'accepted, changes nothing here')

  const extraFilters: AnyHttpFilterFactory[] = []
  for (const file of options.extensions) extraFilters.push(await loadExtension(file))
  const ownExtensions = new Map(
    [...httpFilters, ...extraFilters].map(({ name, typeUrl }) => [name, typeUrl] as const).filter(notInSchema),
  )

  const parts = {
    options,
    filters: [...httpFilters, ...extraFilters],
    policies: loadBalancingPolicies,
    listenerFilters,
  }

  // A SIGHUP that comes before there is anything to reload would be the end of this process.
  let reloadAsked = false
  const askReload = (): void => {
    reloadAsked = true
  }
  process.on('SIGHUP', askReload)

  // Configuration: every mistake at once, then nothing starts.
  const loaded = load(options, ownExtensions)
  if (options.mode === 'validate') return validate(checkConfiguration(loaded, parts), options, io)
  for (const warning of loaded.warnings) log.warning({}, formatProblem(warning))
  if (loaded.bootstrap === undefined) {
    for (const error of checkConfiguration(loaded, parts).errors) io.error(`${formatProblem(error)}\n`)
    return 1
  }
  // Workers have reporters of their own.
  const spanReporter =
    options.concurrency === 1 ? await spanReporterOfEnvironment(loaded.bootstrap, options, VERSION) : undefined
  const server = new Server({
    ...parts,
    bootstrap: loaded.bootstrap,
    warnings: loaded.warnings,
    spanReporter,
    reload() {
      const next = load(options, ownExtensions)
      return next.bootstrap === undefined ? checkConfiguration(next, parts) : next
    },
  })

  // Service.
  try {
    await server.start()
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    io.error(`hopwise run: ${error.message}\n`)
    await server.stop()
    return 1
  }
  handleSignals(server)
  process.off('SIGHUP', askReload)
  if (reloadAsked) reload(server)
  // Kept for the next start, also where this process will be killed rather than end.
  setImmediate(() => flushCompileCache?.())
  if (options.watch && options.configPath !== undefined) watchFile(options.configPath, () => reload(server))
  notifySystemd()
  const command = options.command.length > 0 ? superviseCommand(options.command, server) : undefined
  await server.stopped
  await spanReporter?.close()
  return (await command) ?? 0
}

/** Filters whose configuration is no message of Envoy's: those that users add. */
function notInSchema([, typeUrl]: readonly [name: string, typeUrl: string]): boolean {
  return schema().message(typeUrl) === undefined
}

function load(options: ServerOptions, ownExtensions: ReadonlyMap<string, string>) {
  const { strict, configPath, configYaml } = options
  const name = '--config-yaml'
  if (configPath === undefined) return loadBootstrap({ text: configYaml, file: name, strict, ownExtensions })
  const overlay = configYaml === undefined ? undefined : { name, text: configYaml }
  return loadBootstrap({ file: configPath, overlay, strict, ownExtensions })
}

/** Envoy's `--mode validate`: what is wrong, as `hopwise validate` says it, and Envoy's last line. */
function validate({ errors, warnings }: LoadedBootstrap, options: ServerOptions, io: CliIo): number {
  const file = options.configPath ?? '--config-yaml'
  if (options.json) reportWriters.json([{ file, errors, warnings }], io, false)
  else {
    for (const problem of inOrder(errors, warnings)) io.error(`${formatProblem(problem)}\n`)
    if (errors.length === 0) io.out(`configuration '${file}' OK\n`)
  }
  return errors.length === 0 ? 0 : 1
}

function handleSignals(server: Server): void {
  let asked = false
  const end = () => {
    // The second signal means now.
    if (asked) void server.stop()
    else {
      asked = true
      void server.drain()
    }
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('SIGHUP', () => reload(server))
  process.on('SIGUSR1', () => server.reopenLogs())
}

function reload(server: Server): void {
  void server.reload().then(problems => {
    for (const problem of problems) log.error({}, `configuration not reloaded: ${problem}`)
  })
}

/**
 * Calls `changed` when the file's content may have changed: written, replaced by rename, or behind a link that Kubernetes
 * turned round. The folder is watched, because a replaced file takes its watch with it.
 */
function watchFile(path: string, changed: () => void): void {
  let settle: NodeJS.Timeout | undefined
  const later = () => {
    clearTimeout(settle)
    settle = setTimeout(changed, SETTLE_MS)
    settle.unref()
  }
  const name = basename(path)
  const watcher = watch(dirname(path), (_event, file) => {
    if (file === name || file === '..data' || file === null) later()
  })
  watcher.on('error', error => log.warning({ error: String(error) }, 'the configuration file is not watched any more'))
  watcher.unref()
}
