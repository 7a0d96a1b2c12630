/**
 * Envoy's v3 API as one FileDescriptorSet, from the Go module of the same version as the Envoy we compare with.
 *
 * The module carries no .proto files, but each generated Go package embeds its descriptor, validation rules included;
 * a small Go program (`dump.go.txt`) that imports every package can therefore write them all out. Maven's copy of the
 * API lacks 982 fields of 1.40, npm's does not build whole, so this is the only complete source.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

export const envoyModule = 'github.com/envoyproxy/go-control-plane/envoy'
export const envoyModuleVersion = 'v1.40.0'

/** Messages that Envoy's users meet although Envoy's own module does not compile them in; both modules are its own needs. */
const furtherPackages = ['github.com/cncf/xds/go/udpa/type/v1', 'google.golang.org/grpc/health/grpc_health_v1']

/** Takes about 85 s the first time (download and compile) and 3 s after. Throws with Go's own words if Go fails. */
export function dumpDescriptors(): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), 'hopwise-descriptors-'))
  try {
    const go = (...args: string[]) =>
      execFileSync(goExecutable(), args, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
    go('mod', 'init', 'dump')
    go('get', `${envoyModule}@${envoyModuleVersion}`)
    const packages = goPackages(go('list', '-m', '-f', '{{.Dir}}', envoyModule)).map(name => `${envoyModule}/${name}`)
    const program = readFileSync(join(import.meta.dirname, 'dump.go.txt'), 'utf8')
    const imports = [...packages, ...furtherPackages].map(name => `_ "${name}"`).join('\n\t')
    writeFileSync(join(dir, 'main.go'), program.replace('// IMPORTS', imports))
    go('mod', 'tidy')
    const out = join(dir, 'descriptors.binpb')
    go('run', '.', out)
    return readFileSync(out)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** `go` of the PATH, else where the official tarball unpacks. */
export function goExecutable(): string {
  const installed = '/usr/local/go/bin/go'
  const onPath = (process.env['PATH'] ?? '').split(':').some(dir => existsSync(join(dir, 'go')))
  return onPath || !existsSync(installed) ? 'go' : installed
}

function goPackages(moduleDir: string): string[] {
  const packages = new Set<string>()
  for (const entry of readdirSync(moduleDir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name.endsWith('.pb.go')) packages.add(relative(moduleDir, entry.parentPath))
  }
  return [...packages].sort()
}
