/** Certificates for tests, issued on the spot and laid into a folder that goes with the process. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  CertificateAuthority,
  type CertificateOptions,
  type IssuedCertificate,
} from '../../demo-services/certificate-authority.ts'
import { temporaryFolder } from './proxy-process.ts'

export class TlsFiles {
  readonly folder = temporaryFolder()
  readonly authority = new CertificateAuthority('test authority')
  readonly caPath: string

  constructor() {
    this.caPath = this.write('ca.pem', this.authority.certificate)
  }

  write(name: string, content: string): string {
    const path = join(this.folder, name)
    writeFileSync(path, content)
    return path
  }

  /** Issues a certificate and writes `<name>.crt` and `<name>.key`. */
  issue(name: string, options: CertificateOptions, authority = this.authority): IssuedCertificate {
    const issued = authority.issue(options)
    this.write(`${name}.crt`, issued.chain)
    this.write(`${name}.key`, issued.key)
    return issued
  }

  /** Puts a version of a secret into `folder` as the kubelet does: a folder of its own, then one rename of the link. */
  publish(folder: string, version: string, { chain, key }: Pick<IssuedCertificate, 'chain' | 'key'>): void {
    this.publishFiles(folder, version, { 'tls.crt': chain, 'tls.key': key })
  }

  /** The same with any files, by name. */
  publishFiles(folder: string, version: string, contents: Readonly<Record<string, string>>): void {
    mkdirSync(join(folder, version), { recursive: true })
    for (const [name, content] of Object.entries(contents)) writeFileSync(join(folder, version, name), content)
    symlinkSync(version, join(folder, 'next'))
    renameSync(join(folder, 'next'), join(folder, '..data'))
  }

  /** A secret as a file for `path_config_source`, of the `tls.crt` and `tls.key` in `folder`, which is `watched`. */
  secretFile(name: string, folder: string, watched: string): string {
    return this.write(
      'sds.yaml',
      `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: ${name}
  tls_certificate:
    certificate_chain: {filename: ${folder}/tls.crt}
    private_key: {filename: ${folder}/tls.key}
    watched_directory: {path: ${watched}}
`,
    )
  }

  /** `{certificate_chain: …, private_key: …}` of what {@link issue} wrote. */
  certificate(name: string): string {
    const path = (file: string) => `{filename: ${join(this.folder, file)}}`
    return `{certificate_chain: ${path(`${name}.crt`)}, private_key: ${path(`${name}.key`)}}`
  }
}
