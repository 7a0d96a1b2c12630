/** `local_reply_config`: changes local replies by filter, before they are written. */
import type { HttpConnectionManager } from '../config/schema/generated/types.ts'
import type { LocalReplyRewriter } from '../http/local-reply.ts'
import { BuildError } from './chains.ts'
import type { Environment } from './environment.ts'

export function localReplyRewriter(message: HttpConnectionManager, _env: Environment): LocalReplyRewriter | undefined {
  if (message.localReplyConfig === undefined) return undefined
  throw new BuildError('', 'local_reply_config is not supported yet', message.localReplyConfig)
}
