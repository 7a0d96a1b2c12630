/**
 * `npm start -- --mtls`: the same chain over mutual TLS. An authority is made on the spot, every service gets an identity
 * (`spiffe://demo/<service>`) of it, ingress listeners ask for a certificate, and calls between services present one and
 * ask for the name of the callee. Calls to the application beside a sidecar, to the outside and to the trace store stay
 * in plaintext.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { CertificateAuthority } from './certificate-authority.ts'
import { serviceOf } from './layout.ts'

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'
/** Clusters that are services of the chain. */
const MESH = new Set(['a', 'b', 'c', 'd'])
/** A handshake is part of connecting, and on a busy machine takes longer than a SYN. */
const CONNECT_TIMEOUT = '1s'

interface Configuration {
  static_resources: {
    listeners: { traffic_direction?: string; filter_chains: Record<string, unknown>[] }[]
    clusters: { name: string; [field: string]: unknown }[]
  }
}

export class MeshIdentities {
  readonly #folder: string
  readonly #authority = new CertificateAuthority()

  constructor(folder: string) {
    this.#folder = folder
    writeFileSync(join(folder, 'ca.pem'), this.#authority.certificate)
  }

  /** The configuration of a sidecar, with TLS put in; JSON, which is YAML too. */
  secure(configuration: string, instance: string): string {
    const service = serviceOf(instance)
    const { chain, key } = this.#authority.issue({ uris: [`spiffe://demo/${service}`], dns: [service] })
    const write = (name: string, content: string) => {
      const path = join(this.#folder, name)
      writeFileSync(path, content, { mode: 0o600 })
      return { filename: path }
    }
    const certificate = {
      certificate_chain: write(`${instance}.crt`, chain),
      private_key: write(`${instance}.key`, key),
    }
    const trusted = { trusted_ca: { filename: join(this.#folder, 'ca.pem') } }
    const socket = (type: string, fields: object) => ({
      name: 'envoy.transport_sockets.tls',
      typed_config: { '@type': `${TLS}.${type}`, ...fields },
    })
    const parsed = parse(configuration) as Configuration
    for (const listener of parsed.static_resources.listeners) {
      if (listener.traffic_direction !== 'INBOUND' || service === 'front') continue
      for (const one of listener.filter_chains) {
        one['transport_socket'] = socket('DownstreamTlsContext', {
          require_client_certificate: true,
          common_tls_context: {
            tls_certificates: [certificate],
            validation_context: trusted,
            alpn_protocols: ['h2', 'http/1.1'],
          },
        })
      }
    }
    for (const cluster of parsed.static_resources.clusters) {
      if (!MESH.has(cluster.name)) continue
      const name = { san_type: 'URI', matcher: { exact: `spiffe://demo/${cluster.name}` } }
      const http2 = cluster['typed_extension_protocol_options'] !== undefined
      cluster['connect_timeout'] = CONNECT_TIMEOUT
      cluster['transport_socket'] = socket('UpstreamTlsContext', {
        sni: cluster.name,
        common_tls_context: {
          tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
          tls_certificates: [certificate],
          validation_context: { ...trusted, match_typed_subject_alt_names: [name] },
          alpn_protocols: [http2 ? 'h2' : 'http/1.1'],
        },
      })
    }
    return JSON.stringify(parsed, undefined, 1)
  }
}
