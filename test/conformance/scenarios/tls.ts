/** What tests of TLS beside Envoy share: configuration, and what a proxy logged and counted. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../kit/process.ts'
import type { ProxyProcess } from '../../kit/proxy-process.ts'
import type { TlsFiles } from '../../kit/tls-files.ts'
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

/** `<name>.p12` of what {@link TlsFiles.issue} wrote, under the password `secret`. */
export async function exportPkcs12(openssl: string, { folder }: TlsFiles, name: string): Promise<void> {
  const path = (kind: string) => join(folder, `${name}.${kind}`)
  const pair = ['-in', path('crt'), '-inkey', path('key')]
  await run(openssl, ['pkcs12', '-export', ...pair, '-out', path('p12'), '-passout', 'pass:secret'])
}
