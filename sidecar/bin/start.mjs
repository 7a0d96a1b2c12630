/**
 * Switches the compile cache on, then runs the command line: the bundle, if there is one of the sources as they are
 * (`bundle.mjs`), else the sources.
 *
 * Without the cache every start compiles everything, and from the sources strips the types of some 250 files: 1 s and
 * 30 MB. The first start makes it, in `node_modules/.cache/hopwise` of the package, so that it goes with the package into
 * an image; where that is read-only and nothing is there, everything works without. `NODE_COMPILE_CACHE` names another
 * place, `NODE_DISABLE_COMPILE_CACHE=1` switches it off; both are Node's own. The place is not given by the environment,
 * because the application that `hopwise run -- …` starts would inherit it.
 */
import { builtin, cacheFolder, freshBundle } from './bundle.mjs'

const { enableCompileCache } = builtin('node:module')
const { pathToFileURL } = builtin('node:url')

// SIGUSR1 belongs to log rotation, not to the inspector, which Node opens unless somebody listens. Node's own switch for it,
// `--disable-sigusr1`, leaves the signal blocked: it would reach nobody (Node 26.10).
process.on('SIGUSR1', () => {})
// Whoever asks for the configuration to be read again before it was read has it read; the signal alone would end us.
if (process.argv[2] === 'run') process.on('SIGHUP', () => {})

// Portable: an image may have the package in another place than the one it was built in.
enableCompileCache?.({ directory: cacheFolder, portable: true })
// Set by `bin/hopwise` and read by glibc before main(): not for the application.
if (process.env['MALLOC_TRIM_THRESHOLD_'] === '65536') delete process.env['MALLOC_TRIM_THRESHOLD_']
if (process.env['MALLOC_MMAP_THRESHOLD_'] === '32768') delete process.env['MALLOC_MMAP_THRESHOLD_']

// A filter of the user's own imports our sources, and must not get a second copy of what runs. Coverage is of sources.
const wantsSources =
  process.argv.some(argument => /^--extension(=|$)/.test(argument)) || (process.env['NODE_V8_COVERAGE'] ?? '') !== ''
const bundle = wantsSources ? undefined : freshBundle()
if (bundle === undefined) await import('../cli/hopwise.ts')
else await import(pathToFileURL(bundle).href)
