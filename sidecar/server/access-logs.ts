/** Access loggers from configuration. */
import type { AccessLog } from '../config/schema/generated/types.ts'
import type { StreamLogger } from '../http/connection-manager.ts'

export interface AccessLogSinks {
  loggersOf(messages: readonly AccessLog[]): readonly StreamLogger[]
  reopen(): void
  flush(): Promise<void>
}

export const noAccessLogs: AccessLogSinks = {
  loggersOf: () => [],
  reopen: () => {},
  flush: async () => {},
}
