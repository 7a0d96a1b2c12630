/** `hopwise run … -- COMMAND`: the application starts when the proxy is ready, and the two end together. */
import { spawn } from 'node:child_process'
import { logger } from '../observability/logging.ts'
import type { Server } from './server.ts'

const log = logger('main')

/** Runs the command; resolves with its exit code once both it and the server have ended. */
export async function superviseCommand(command: readonly string[], server: Server): Promise<number> {
  const [program, ...args] = command
  const child = spawn(program!, args, { stdio: 'inherit' })
  // Signals reach the server first; it drains, and the application hears of it when the last request is through.
  void server.stopped.then(() => child.kill('SIGTERM'))
  return await new Promise(resolve => {
    child.on('error', error => {
      log.error({ command: program, error: error.message }, 'the application could not be started')
      void server.stop()
      resolve(127)
    })
    child.on('exit', (code, signal) => {
      log.info({ command: program, code, signal }, 'the application has ended')
      void server.drain()
      resolve(code ?? 1)
    })
  })
}
