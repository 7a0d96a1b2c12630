/** The face of this folder: Envoy's substitution format, compiled. See text-format.ts and json-format.ts. */
export {
  binaryText,
  type Compiled,
  type FilterMetadata,
  type FormatContext,
  type FormatError,
  type FormatNeed,
  type FormatOptions,
  type Formatter,
  formatErrorText,
  type HeaderView,
  type MetadataKind,
} from './context.ts'
export { compileJsonFormat } from './json-format.ts'
export { ENVOY_FORMAT, FORMAT_PRESETS, type FormatPreset } from './presets.ts'
export { compileTextFormat } from './text-format.ts'
