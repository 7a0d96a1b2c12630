/** State of the process: readiness, identity, memory, certificates, and the switches that end or drain it. */
import { daysUntil } from '../base/days-until.ts'
import { ENVOY_VERSION, VERSION } from '../base/version.ts'
import { type Endpoint, json, ok, text } from './message.ts'
import type { CertificateDetails, ServerControl } from './server-control.ts'

/** The five parts Envoy's own version has, which tools split: revision, release, state, build type, TLS library. */
const VERSION_TEXT = `hopwise-${VERSION}/${ENVOY_VERSION}/Clean/RELEASE/OpenSSL`

export function serverEndpoints(control: ServerControl): Endpoint[] {
  const ready = () => {
    const state = control.state()
    return text(`${state}\n`, state === 'LIVE' ? 200 : 503)
  }
  return [
    { path: '/ready', help: 'print server state, return 200 if LIVE, otherwise return 503', handle: ready },
    { path: '/healthz/ready', help: 'the same as /ready, for probes of Istio', handle: ready },
    { path: '/live', help: 'return 200 as long as the process answers', handle: () => text('LIVE\n') },
    {
      path: '/server_info',
      help: 'print server version/status information',
      handle: () => json(serverInfo(control)),
    },
    { path: '/certs', help: 'print certs on machine', handle: () => json(certificates(control)) },
    { path: '/memory', help: 'print current allocation/heap usage', handle: () => json(memory()) },
    {
      path: '/hot_restart_version',
      help: 'print the hot restart compatibility version',
      handle: () => text(`${control.hotRestartVersion}\n`),
    },
    {
      path: '/drain_listeners',
      help: 'drain listeners',
      mutates: true,
      params: [
        {
          name: 'graceful',
          help: 'enter a graceful drain period (--drain-time-s) prior to closing listeners',
          flag: true,
        },
        { name: 'skip_exit', help: 'drain the connections but never stop the listeners', flag: true },
        { name: 'inboundonly', help: 'drain listeners with traffic_direction INBOUND only', flag: true },
      ],
      handle: ({ query }) => {
        control.drainListeners({
          graceful: query.has('graceful'),
          inboundOnly: query.has('inboundonly'),
          skipExit: query.has('skip_exit'),
        })
        return ok()
      },
    },
    {
      path: '/healthcheck/fail',
      help: 'cause the server to fail health checks',
      mutates: true,
      handle: () => after(() => control.setHealthCheckFailed(true)),
    },
    {
      path: '/healthcheck/ok',
      help: 'cause the server to pass health checks',
      mutates: true,
      handle: () => after(() => control.setHealthCheckFailed(false)),
    },
    { path: '/quitquitquit', help: 'exit the server', mutates: true, handle: () => after(() => control.quit()) },
    {
      path: '/reopen_logs',
      help: 'reopen access logs',
      mutates: true,
      handle: () => after(() => control.reopenLogs()),
    },
  ]
}

function after(action: () => void) {
  action()
  return ok()
}

function serverInfo(control: ServerControl) {
  const uptime = control.uptimeMs()
  return {
    version: VERSION_TEXT,
    state: control.state(),
    uptime_current_epoch: `${Math.floor(uptime.currentEpoch / 1000)}s`,
    uptime_all_epochs: `${Math.floor(uptime.allEpochs / 1000)}s`,
    hot_restart_version: control.hotRestartVersion,
    command_line_options: control.commandLineOptions(),
    node: control.node(),
    hot_restart_initializing: false,
  }
}

/** V8's and the kernel's numbers under tcmalloc's names, as near as they come; 64-bit numbers are texts in proto JSON. */
function memory() {
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage()
  return {
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal + external),
    pageheap_unmapped: '0',
    pageheap_free: String(heapTotal - heapUsed),
    total_thread_cache: '0',
    total_physical_bytes: String(rss),
  }
}

function certificates(control: ServerControl) {
  return {
    certificates: control.certificates().map(({ caCertificates, chain }) => ({
      ca_cert: caCertificates.map(certificate),
      cert_chain: chain.map(certificate),
    })),
  }
}

function certificate({ path, serialNumber, subjectAltNames, validFromMs, expiresMs }: CertificateDetails) {
  return {
    path: path === '' ? '<inline>' : path,
    serial_number: serialNumber,
    subject_alt_names: subjectAltNames.map(({ kind, value }) => ({ [kind]: value })),
    days_until_expiration: String(daysUntil(expiresMs, Date.now())),
    valid_from: seconds(validFromMs),
    expiration_time: seconds(expiresMs),
  }
}

function seconds(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
