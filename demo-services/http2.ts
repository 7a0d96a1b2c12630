/** `npm start -- --http2`: the configuration of a sidecar with HTTP/2 for every cluster that is a service of the chain. */
import { parse } from 'yaml'
import { SERVICES } from './layout.ts'

const OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

interface Configuration {
  static_resources: { clusters: { name: string; typed_extension_protocol_options?: Record<string, unknown> }[] }
}

/** JSON, which is YAML too. Listeners need nothing: they know HTTP/2 by its preface. */
export function speakHttp2(configuration: string): string {
  const parsed = parse(configuration) as Configuration
  for (const cluster of parsed.static_resources.clusters) {
    if (!(SERVICES as readonly string[]).includes(cluster.name)) continue
    cluster.typed_extension_protocol_options = {
      [OPTIONS]: {
        '@type': `type.googleapis.com/${OPTIONS}`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    }
  }
  return JSON.stringify(parsed, undefined, 1)
}
