/** What tests of TLS beside Envoy share: configuration, a client that tells what it saw, and what a proxy logged and counted. */
import { existsSync, readFileSync } from 'node:fs'
import tls from 'node:tls'
import type { ProxyProcess } from '../../kit/proxy-process.ts'
import { waitFor } from '../../kit/wait-for.ts'

const TYPE = 'type.googleapis.com/envoy'
export const TLS_TYPE = `${TYPE}.extensions.transport_sockets.tls.v3`

export const LOG =
  '%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% sni=%REQUESTED_SERVER_NAME% ' +
  'd=%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_CERT_V_END% ' +
  '%DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_LOCAL_DNS_SAN% %DOWNSTREAM_LOCAL_SUBJECT% ' +
  'u=%UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_URI_SAN% %UPSTREAM_PEER_SUBJECT% %UPSTREAM_SERVER_NAME% ' +
  'f=%UPSTREAM_TRANSPORT_FAILURE_REASON%'

/** A connection manager as one element of `filters`. */
export function manager(routes: string, log: string, extra = ''): string {
  return `
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": ${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          ${extra}
          access_log:
          - name: file
            typed_config:
              "@type": ${TYPE}.extensions.access_loggers.file.v3.FileAccessLog
              path: ${log}
              log_format: {text_format_source: {inline_string: ${JSON.stringify(`${LOG}\n`)}}}
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [${routes}]}]}
          http_filters: [{name: router, typed_config: {"@type": ${TYPE}.extensions.filters.http.router.v3.Router}}]`
}

export interface TlsOutcome {
  /** Status and body, `alert N` that was received, or `ended`. */
  readonly answer: string
  readonly reused: boolean
  /** Common name of the certificate that the server showed, and the kind of its key. */
  readonly certificate: string
  /** The last that came. */
  readonly session: Buffer | undefined
}

/** One request over a connection of its own; its session is waited for where `keepsSession`. */
export function request(
  port: number,
  path: string,
  options: tls.ConnectionOptions = {},
  keepsSession = false,
): Promise<TlsOutcome> {
  return new Promise(resolve => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    let text = ''
    let alert: string | undefined
    let session: Buffer | undefined
    let certificate = ''
    let reused = false
    const leave = () => {
      if (text.includes('\r\n\r\n') && (!keepsSession || session !== undefined)) socket.end()
    }
    socket.setEncoding('latin1')
    socket.on('secureConnect', () => {
      const { subject, asn1Curve } = socket.getPeerCertificate()
      certificate = `${subject?.CN ?? ''} ${asn1Curve === undefined ? 'rsa' : 'ec'}`
      reused = socket.isSessionReused()
      socket.write(`GET ${path} HTTP/1.1\r\nhost: server.test\r\n\r\n`)
    })
    socket.on('session', (fresh: Buffer) => {
      session = fresh
      leave()
    })
    socket.on('data', (chunk: string) => {
      text += chunk
      leave()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      alert = /SSL alert number (\d+)/.exec(error.message)?.[1]
    })
    socket.on('close', () => {
      const [, status, body] = /^HTTP\/1.1 (\d+)[\s\S]*?\r\n\r\n([\s\S]*)$/.exec(text) ?? []
      const failed = alert === undefined ? 'ended' : `alert ${alert}`
      resolve({ answer: status === undefined ? failed : `${status} ${body}`, reused, certificate, session })
    })
  })
}

/** Adds the access log's lines by their path, once there are as many as awaited, and all stats that `filter` matches. */
export async function addLogAndStats(
  fields: Map<string, string>,
  proxy: ProxyProcess,
  log: string,
  lines: number,
  options: { filter: RegExp; except?: RegExp; ports: ReadonlyMap<number, string> },
): Promise<void> {
  const mask = (text: string) => {
    for (const [port, name] of options.ports) text = text.replaceAll(String(port), `<${name}>`)
    return text
  }
  const read = () => (existsSync(log) ? readFileSync(log, 'latin1').split('\n').slice(0, -1) : [])
  await waitFor(() => read().length >= lines, { what: `${lines} lines in ${log}` })
  for (const line of read()) fields.set(`log: ${line.slice(0, line.indexOf(' '))}`, mask(line))
  for (const [stat, value] of await proxy.stats(options.filter.source)) {
    if (options.except?.test(stat) !== true) fields.set(`stat: ${mask(stat)}`, String(value))
  }
}
