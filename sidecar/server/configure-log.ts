/** The process log as the command line wants it. Each thread has one of its own and writes to the same place. */
import { parseLogLevel, processLog } from '../observability/logging.ts'
import type { ServerOptions } from './options.ts'

export function configureLog(options: ServerOptions): void {
  const level = parseLogLevel(options.logLevel)
  const format = options.logFormat
  processLog.configure({
    ...(level !== undefined && { level }),
    ...(format === 'json' || format === 'text' ? { format } : { pattern: format }),
    ...(options.logPath !== undefined && { path: options.logPath }),
  })
  if (options.componentLogLevel !== '') processLog.setComponents(options.componentLogLevel)
}
