/** Entry of the worker threads of `hopwise run --concurrency N`: the same program as `main.ts`, for one data plane. */
import { VERSION } from './base/version.ts'
import { httpFilters, listenerFilters, loadBalancingPolicies } from './extensions.ts'
import type { AnyHttpFilterFactory } from './filter-chain/http-filter.ts'
import { configureLog } from './server/configure-log.ts'
import { loadExtension } from './server/load-extension.ts'
import { spanReporterOfEnvironment } from './server/span-reporter.ts'
import { DataPlaneWorker } from './server/worker-main.ts'
import type { WorkerStart } from './server/worker-messages.ts'

export async function runWorker(start: WorkerStart): Promise<void> {
  const { options, bootstrap } = start
  configureLog(options)
  const extraFilters: AnyHttpFilterFactory[] = []
  for (const file of options.extensions) extraFilters.push(await loadExtension(file))
  const worker = new DataPlaneWorker(start, {
    filters: [...httpFilters, ...extraFilters],
    policies: loadBalancingPolicies,
    listenerFilters,
    spanReporter: await spanReporterOfEnvironment(bootstrap, options, VERSION),
  })
  await worker.start(start)
}
