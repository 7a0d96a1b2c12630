/** `Type=notify` of systemd: its `systemctl start` ends, and what is ordered after the sidecar starts, once it is ready. */
import { spawn } from 'node:child_process'
import { logger } from '../observability/logging.ts'

const log = logger('main')

/**
 * Tells systemd that the service is ready, where `NOTIFY_SOCKET` names the socket on which it waits for that (sd_notify(3)).
 * Node cannot open a Unix socket of datagrams, so that systemd's own program says it; a unit allows it with
 * `NotifyAccess=all`. Without it systemd ends the service after its `TimeoutStartSec`, hence the warning.
 */
export function notifySystemd(): void {
  if ((process.env['NOTIFY_SOCKET'] ?? '') === '') return
  const child = spawn('systemd-notify', ['--ready'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const warn = (error: string) => log.warning({ error }, 'systemd has not heard that this is ready')
  child.on('error', error => warn(error.message))
  child.on('close', code => {
    // Negative where it did not start, which is told above.
    if (code === null || code > 0) warn(said.trim() || `systemd-notify ended with ${code}`)
  })
}
