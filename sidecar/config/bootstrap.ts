/**
 * From a file, or text, to a checked bootstrap: parse, recognise what is no bootstrap, decode, check references. All
 * errors and warnings come together, in the order of the file.
 */
import { readFileSync } from 'node:fs'
import { TreeDecoder } from './decode.ts'
import { type ExtensionNames, knownExtensionNames } from './extension-points.ts'
import { checkFragment } from './fragments.ts'
import { isIstioResource, reportIstioResource } from './istio-hints.ts'
import { mergeMessages } from './merge.ts'
import { type ConfigProblem, Problems } from './problems.ts'
import { checkFragmentReferences, checkReferences } from './references/bootstrap.ts'
import type { Bootstrap } from './schema/generated/types.ts'
import { schema } from './schema/table.ts'
import { SourceDocument } from './source.ts'
import { hopwiseSupport, type Support } from './support.ts'
import { isNull } from './tree.ts'
import { parseText } from './yaml.ts'

export interface LoadOptions {
  /** Read when `text` is not given; named in every message. */
  readonly file?: string | undefined
  readonly text?: string | undefined
  /** A second bootstrap, in YAML or JSON, that is merged over the first (Envoy: `--config-yaml` beside `-c`). */
  readonly overlay?: { readonly name: string; readonly text: string } | undefined
  /** Default: by the file's ending, else YAML, of which JSON is nearly a part. */
  readonly format?: 'yaml' | 'json' | undefined
  /** What Envoy refuses for its form only is an error too. */
  readonly strict?: boolean | undefined
  readonly extensionNames?: ExtensionNames | undefined
  /** Extensions the user brings along: type URL by name. */
  readonly ownExtensions?: ReadonlyMap<string, string> | undefined
  /** What counts as supported; for tools that only look at a file, `everythingSupported`. */
  readonly support?: Support | undefined
}

export interface LoadedBootstrap {
  /** Undefined if there is any error. */
  readonly bootstrap: Bootstrap | undefined
  /** Where there are errors: what could be decoded all the same, to look for further ones. */
  readonly partial?: Bootstrap | undefined
  readonly errors: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

/** Never throws for what is wrong with the configuration, an unreadable file included. */
export function loadBootstrap(options: LoadOptions): LoadedBootstrap {
  const problems = new Problems(options.strict)
  const file = options.file ?? '<config>'
  let text = options.text
  if (text === undefined) {
    try {
      text = readFileSync(file, 'utf8')
    } catch (error) {
      problems.error({ document: new SourceDocument(file), offset: 0, path: '' }, 'syntax', unreadable(error))
      return resultOf(undefined, problems)
    }
  }
  const isJson = options.format === 'json' || (options.format === undefined && file.endsWith('.json'))
  let read = readBootstrap(file, text, isJson, options, problems)
  const { overlay } = options
  if (overlay !== undefined) {
    const over = readBootstrap(overlay.name, overlay.text, false, options, problems)
    const under = read.bootstrap
    read = {
      bootstrap: under && over.bootstrap && mergeMessages(schema().message(bootstrapType)!, under, over.bootstrap),
      isWhole: read.isWhole && over.isWhole,
    }
  }
  if (read.bootstrap && read.isWhole) checkReferences(read.bootstrap, problems)
  return resultOf(read.bootstrap, problems, read.isWhole ? read.bootstrap : undefined)
}

/** One text as a bootstrap, with what is wrong with it alone. */
function readBootstrap(
  file: string,
  text: string,
  isJson: boolean,
  options: LoadOptions,
  problems: Problems,
): { readonly bootstrap: Bootstrap | undefined; readonly isWhole: boolean } {
  const nothing = { bootstrap: undefined, isWhole: false }
  const { document, root } = parseText(file, text, problems)
  if (!root) return nothing
  if (isNull(root)) {
    problems.error({ document, offset: 0, path: '' }, 'syntax', 'the file is empty; a bootstrap has static_resources')
    return nothing
  }
  if (isIstioResource(root)) {
    reportIstioResource(root, document, problems)
    return nothing
  }
  const decoder = new TreeDecoder({
    schema: schema(),
    document,
    problems,
    support: options.support ?? hopwiseSupport,
    extensionNames: (name, category) =>
      options.ownExtensions?.get(name) ?? (options.extensionNames ?? knownExtensionNames)(name, category),
    ownTypes: options.ownExtensions && new Set(options.ownExtensions.values()),
    isJson,
  })
  const { root: whole, fragments } = checkFragment(root, document, problems)
  const bootstrap = decoder.message(schema().message(bootstrapType)!, whole, '') as Bootstrap | undefined
  for (const { owner, entry } of fragments) {
    checkFragmentReferences(decoder.loneField(schema().message(owner)!, entry), entry.key, problems)
  }
  return { bootstrap, isWhole: fragments.length === 0 }
}

const bootstrapType = 'envoy.config.bootstrap.v3.Bootstrap'

function resultOf(bootstrap: Bootstrap | undefined, problems: Problems, partial?: Bootstrap): LoadedBootstrap {
  const { errors, warnings } = problems
  return errors.length === 0 ? { bootstrap, errors, warnings } : { bootstrap: undefined, partial, errors, warnings }
}

function unreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EISDIR') return 'is a directory, not a file'
  if (code === 'EACCES') return 'may not be read (permission denied)'
  return `cannot be read: ${message}`
}

export { type DecodedResource, type DecodeResourceOptions, decodeResource } from './resource.ts'
