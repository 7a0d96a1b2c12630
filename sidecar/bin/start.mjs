/**
 * Switches the compile cache on, then runs the command line. Plain JavaScript, because whatever is loaded before the cache
 * has to have its types stripped, and the stripper alone takes 0.1 s and 20 MB.
 *
 * Without the cache every start strips and compiles some 250 files: 1 s and 30 MB (`npm run bench`, "ready after" and
 * "RSS, idle"). The first start makes it, in `node_modules/.cache/hopwise` of the package, so that it goes with the package
 * into an image; where that is read-only and nothing is there, everything works without. `NODE_COMPILE_CACHE` names
 * another place, `NODE_DISABLE_COMPILE_CACHE=1` switches it off; both are Node's own. The place is not given by the
 * environment, because the application that `hopwise run -- …` starts would inherit it.
 */
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

enableCompileCache?.(join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'hopwise'))
// Set by `bin/hopwise` and read by glibc before main(): not for the application.
if (process.env['MALLOC_TRIM_THRESHOLD_'] === '65536') delete process.env['MALLOC_TRIM_THRESHOLD_']
if (process.env['MALLOC_MMAP_THRESHOLD_'] === '32768') delete process.env['MALLOC_MMAP_THRESHOLD_']
await import('../cli/hopwise.ts')
