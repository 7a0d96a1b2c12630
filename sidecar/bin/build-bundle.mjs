/**
 * Makes the bundle (see `bundle.mjs`) unless there is one of the sources as they are. Runs after `npm ci` and before
 * `npm start` and `npm test`; `npm run build` does it by hand. Where esbuild is not installed (`npm ci --omit=dev`) or the
 * folder is read-only it says so and leaves everything as it is: the sources run too.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { bundleIndex, cacheFolder, freshBundle, root } from './bundle.mjs'

/** Packages that go into the bundle; all others are loaded when they are needed, from where they are installed. */
const BUNDLED = new Set(['yaml'])
/** A process that runs from an older bundle may still load a part of it. */
const KEPT_OLD = 1

const IMPORT_OF_NODE = /^import (?!type )(?:\w+,? )?(?:\{([^}]*)\} )?from '(node:[^']+)'/gm

/**
 * Node's own modules, for each file only what it imports. A real `import` reads all that a module exports, and with that
 * loads whatever Node itself would load on first use: 2 MB that nobody asked for (measured, `npm run bench`, "RSS, idle").
 */
const nodeModules = {
  name: 'node-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, importer, kind }) =>
      kind === 'import-statement' ? { path: `${path} for ${importer}`, namespace: 'node' } : undefined,
    )
    onLoad({ filter: /./, namespace: 'node' }, ({ path }) => {
      const [module, importer] = path.split(' for ')
      const imports = [...readFileSync(importer, 'utf8').matchAll(IMPORT_OF_NODE)].filter(
        ([, , from]) => from === module,
      )
      // `import * as` wants all of it, and would silently get nothing.
      if (imports.length === 0) throw new Error(`${importer} imports ${module} in a way that the bundle cannot`)
      const names = imports.flatMap(([, list]) => list?.split(',') ?? []).map(name => name.trim())
      const values = names
        .filter(name => name !== '' && !name.startsWith('type '))
        .map(name => name.replace(/ as .*/, ''))
      return {
        contents: `
          const whole = process.getBuiltinModule('${module}')
          export const { ${values.join(', ')} } = whole
          export default whole`,
      }
    })
  },
}

/** Gives the bundle's name, which is made of its content, so that compiled code that is kept for it stays valid. */
async function buildBundle() {
  const { build } = await import('esbuild')
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const packages = Object.keys({ ...dependencies, ...devDependencies }).filter(name => !BUNDLED.has(name))
  mkdirSync(cacheFolder, { recursive: true })
  const folder = mkdtempSync(join(cacheFolder, 'new-'))
  chmodSync(folder, 0o755)
  try {
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: ['sidecar/cli/hopwise.ts'],
      // As deep as it will be: the source maps refer to the sources from here.
      outdir: folder,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      // Names stay; stack traces tell lines by the source maps (`base/readable-stack.ts`).
      minifyWhitespace: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'node22.18',
      external: packages,
      plugins: [nodeModules],
      // What is bundled and still CommonJS asks for Node's own modules in its way.
      banner: {
        js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);",
      },
      sourcemap: 'linked',
      sourcesContent: false,
      metafile: true,
      logLevel: 'silent',
    })
    const name = `bundle-${contentHash(folder)}`
    if (!existsSync(join(cacheFolder, name))) renameSync(folder, join(cacheFolder, name))
    const index = { entry: join(name, 'hopwise.mjs'), sources: sourcesOf(metafile) }
    writeFileSync(`${folder}.json`, JSON.stringify(index))
    renameSync(`${folder}.json`, bundleIndex)
    return name
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What the bundle was made of: our own sources, and for a package its `package.json`, which names its version. */
function sourcesOf(metafile) {
  const paths = new Set(['package.json', 'sidecar/bin/build-bundle.mjs'])
  for (const path of Object.keys(metafile.inputs)) {
    if (path.startsWith('node:')) continue
    const inPackage = /^node_modules\/(@[^/]+\/)?[^/]+\//.exec(path)
    paths.add(inPackage === null ? path : `${inPackage[0]}package.json`)
  }
  return [...paths].sort().map(path => {
    const { mtimeMs, size } = statSync(join(root, path))
    return [path, mtimeMs, size]
  })
}

function contentHash(folder) {
  const hash = createHash('sha256')
  for (const name of readdirSync(folder).sort()) hash.update(readFileSync(join(folder, name)))
  return hash.digest('hex').slice(0, 12)
}

/** Removes older bundles, and compiled code: it is of sources and bundles that are no more. */
function removeOld(current) {
  const names = readdirSync(cacheFolder)
  const older = names
    .filter(name => name.startsWith('bundle-') && name !== current)
    .map(name => ({ name, madeMs: statSync(join(cacheFolder, name)).mtimeMs }))
    .sort((a, b) => b.madeMs - a.madeMs)
    .slice(KEPT_OLD)
    .map(({ name }) => name)
  const compiled = names.filter(name => /^v\d/.test(name))
  for (const name of [...older, ...compiled]) rmSync(join(cacheFolder, name), { recursive: true, force: true })
}

/** Starts once, so that the compiled code is kept too; every user of an image may read it. */
function fillCompileCache() {
  if (process.platform === 'win32') return
  const validate = ['run', '--mode', 'validate', '--config-yaml', 'static_resources: {}']
  spawnSync(join(root, 'sidecar', 'bin', 'hopwise'), validate, { stdio: 'ignore', timeout: 30_000 })
  for (const entry of readdirSync(cacheFolder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) chmodSync(join(entry.parentPath ?? entry.path, entry.name), 0o644)
  }
}

if (freshBundle() === undefined) {
  try {
    removeOld(await buildBundle())
    fillCompileCache()
  } catch (error) {
    const where = relative(process.cwd(), cacheFolder)
    process.stderr.write(`note: no bundle in ${where}, so that starts take longer: ${error.message.split('\n')[0]}\n`)
  }
}
