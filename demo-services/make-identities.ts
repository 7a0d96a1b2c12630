/**
 * Certificates for the chain in compose: `node make-identities.ts FOLDER`, where each service that is to have an identity
 * has a folder of its own below FOLDER (a volume that only it mounts).
 *
 * An authority of the mesh gives every service `spiffe://demo/<service>`; one of the site gives the edge its HTTPS name;
 * one of the partner belongs to the host outside the mesh. One certificate of a's has expired, for whoever wants to see
 * that. The keys of the authorities are gone when this ends, so all is made anew or nothing: what is there is kept while it
 * is whole and valid for another day.
 */
import { X509Certificate } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CertificateAuthority, daysFromNow } from './certificate-authority.ts'

/** What the edge is called by those outside. */
export const SITE = 'shop.example'
/** The host that c calls outside the mesh. */
export const PARTNER = 'api.partner.example'
const MESH_SERVICES = ['front', 'a', 'b', 'c', 'd', 'traffic'] as const
const KEPT_MS = 86_400_000

/** Files by path below the folder. */
function identities(): Map<string, string> {
  const mesh = new CertificateAuthority('Hopwise demo mesh CA')
  const site = new CertificateAuthority('Hopwise demo site CA')
  const partner = new CertificateAuthority('Hopwise demo partner CA')
  const files = new Map<string, string>()
  for (const service of MESH_SERVICES) {
    const { chain, key } = mesh.issue({ uris: [`spiffe://demo/${service}`], dns: [service] })
    files.set(`${service}/ca.pem`, mesh.certificate)
    files.set(`${service}/chain.pem`, chain)
    files.set(`${service}/key.pem`, key)
  }
  const edge = site.issue({ dns: [SITE, 'localhost', 'front'], ips: ['127.0.0.1'], usages: ['server'] })
  files.set('front/site-chain.pem', edge.chain)
  files.set('front/site-key.pem', edge.key)
  files.set('traffic/site-ca.pem', site.certificate)
  const outside = partner.issue({ dns: [PARTNER], usages: ['server'] })
  files.set('outside/chain.pem', outside.chain)
  files.set('outside/key.pem', outside.key)
  for (const service of ['a', 'c']) files.set(`${service}/partner-ca.pem`, partner.certificate)
  const expired = mesh.issue({
    uris: ['spiffe://demo/a'],
    dns: ['a'],
    notBefore: daysFromNow(-3),
    notAfter: daysFromNow(-2),
  })
  files.set('a/expired-chain.pem', expired.chain)
  files.set('a/expired-key.pem', expired.key)
  return files
}

/** Makes what is missing or about to expire, which is everything or nothing; says whether it did. */
export function makeIdentities(folder: string): boolean {
  const files = identities()
  if ([...files.keys()].every(name => isGood(join(folder, name)))) return false
  for (const [name, content] of files) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(`${path}.new`, content, { mode: 0o600 })
    chmodSync(`${path}.new`, name.endsWith('key.pem') ? 0o400 : 0o444)
    renameSync(`${path}.new`, path)
  }
  return true
}

function isGood(path: string): boolean {
  try {
    const text = readFileSync(path, 'utf8')
    // It was never any good, and is meant to be so.
    return /key\.pem$|expired-/.test(path) || new X509Certificate(text).validToDate.getTime() > Date.now() + KEPT_MS
  } catch {
    return false
  }
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2)
  if (folder === undefined) {
    console.error('usage: node make-identities.ts FOLDER')
    process.exit(2)
  }
  const made = makeIdentities(folder)
  console.log(`${made ? 'made' : 'kept'} the certificates of ${MESH_SERVICES.join(', ')}, ${SITE} and ${PARTNER}`)
}
