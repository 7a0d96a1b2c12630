/** Certificates for tests, issued on the spot and laid into a folder that goes with the process. */
import { writeFileSync } from 'node:fs'
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

  /** `{certificate_chain: …, private_key: …}` of what {@link issue} wrote. */
  certificate(name: string): string {
    const path = (file: string) => `{filename: ${join(this.folder, file)}}`
    return `{certificate_chain: ${path(`${name}.crt`)}, private_key: ${path(`${name}.key`)}}`
  }
}
