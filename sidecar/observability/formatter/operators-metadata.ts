/** Operators that read metadata: notes of filters, and what stands in `filter_metadata` of configured things. */
import { binaryText, type Extractor, type FormatContext, type FormatValue, type MetadataKind } from './context.ts'
import { cut, type Operator, type OperatorCall, OperatorError, type OperatorTable } from './operator.ts'

const KINDS: ReadonlySet<string> = new Set<MetadataKind>([
  'ROUTE',
  'VIRTUAL_HOST',
  'CLUSTER',
  'UPSTREAM_HOST',
  'LISTENER',
  'LISTENER_FILTER_CHAIN',
])

/**
 * The value at `namespace:key:key` below `namespaces`; undefined where the path ends early or the value is null. The
 * namespace alone gives all of it.
 */
function valueAt(entry: unknown, path: readonly string[]): unknown {
  for (const key of path) {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry) || !Object.hasOwn(entry, key)) {
      return undefined
    }
    entry = (entry as Record<string, unknown>)[key]
  }
  return entry ?? undefined
}

/** In JSON a value keeps its type and is never cut (measured); in text it is JSON unless it is a string. */
class MetadataText {
  readonly value: unknown
  readonly maxLength: number
  constructor(value: unknown, maxLength: number) {
    this.value = value
    this.maxLength = maxLength
  }
  /** For `String(…)`: the text form. */
  toString(): string {
    return cut(metadataText(this.value), this.maxLength)
  }
  toJSON(): unknown {
    return this.value
  }
}

/** A string as it is, anything else as JSON with its keys in order. */
export function metadataText(value: unknown): string {
  return binaryText(typeof value === 'string' ? value : (JSON.stringify(sortedKeys(value)) ?? ''))
}

/** Envoy prints the keys of a struct in their order. */
export function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortedKeys(inner)]),
  )
}

function wrapped(value: unknown, maxLength: number): FormatValue {
  if (value === undefined) return undefined
  return new MetadataText(value, maxLength)
}

function reader(kind: string, argument: string, maxLength: number, needs: OperatorCall['needs']): Extractor {
  const [namespace = '', ...path] = argument.split(':')
  needs.add('metadata')
  if (kind === 'DYNAMIC') {
    return ({ info }) => wrapped(valueAt(info.dynamicMetadata?.get(namespace), path), maxLength)
  }
  return (context: FormatContext) =>
    wrapped(valueAt(context.metadata?.(kind as MetadataKind)?.[namespace], path), maxLength)
}

function ofKind(kind: string): Operator {
  return {
    syntax: 'argument:length',
    compile: ({ argument, maxLength, needs }) => reader(kind, argument, maxLength, needs),
  }
}

/** `%METADATA(ROUTE:namespace:key)%`. */
function compileMetadata({ argument, maxLength, needs }: OperatorCall): Extractor {
  const colon = argument.indexOf(':')
  const kind = colon < 0 ? argument : argument.slice(0, colon)
  if (kind !== 'DYNAMIC' && !KINDS.has(kind)) {
    throw new OperatorError(
      `${kind} is not supported type of metadata`,
      `, one of DYNAMIC, ${[...KINDS].join(', ')} is needed`,
    )
  }
  return reader(kind, colon < 0 ? '' : argument.slice(colon + 1), maxLength, needs)
}

function compileFilterState({ argument, maxLength }: OperatorCall): Extractor {
  const [key = '', serialization = 'TYPED', field = ''] = argument.split(':')
  if (key === '') throw new OperatorError('Invalid filter state configuration, key cannot be empty.')
  if (!['PLAIN', 'TYPED', 'FIELD'].includes(serialization)) {
    throw new OperatorError('Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.')
  }
  if ((serialization === 'FIELD') !== (field !== '')) {
    throw new OperatorError('Invalid filter state serialize type, FIELD should be used with the field name.')
  }
  if (serialization === 'FIELD') return ({ info }) => info.filterState?.get(key)?.field(field)
  if (serialization === 'PLAIN') return ({ info }) => info.filterState?.get(key)?.toText()
  return ({ info }) => wrapped(info.filterState?.get(key)?.toJson(), maxLength)
}

/** No filter runs on the upstream's side, so that there is nothing to find; what is asked must make sense all the same. */
function compileUpstreamFilterState(call: OperatorCall): Extractor {
  compileFilterState(call)
  return () => undefined
}

function refuseCel(): Extractor {
  throw new OperatorError(
    'CEL is not supported',
    ', use the operator of the attribute itself (request.path is %REQ(:PATH)%)',
  )
}

export const metadataOperators: OperatorTable = {
  DYNAMIC_METADATA: ofKind('DYNAMIC'),
  CLUSTER_METADATA: ofKind('CLUSTER'),
  UPSTREAM_METADATA: ofKind('UPSTREAM_HOST'),
  METADATA: { syntax: 'argument_optional:length', compile: compileMetadata },
  FILTER_STATE: { syntax: 'argument_optional:length', compile: compileFilterState },
  UPSTREAM_FILTER_STATE: { syntax: 'argument_optional:length', compile: compileUpstreamFilterState },
  CEL: { syntax: 'argument_optional:length', compile: refuseCel },
}
