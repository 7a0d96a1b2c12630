/**
 * Messages that have a form of their own in JSON and in TypeScript, and the naming rule that protobuf's JSON mapping
 * prescribes. Shared by the generator and the decoders, so that the types and the values cannot drift apart.
 */

/** `lb_policy` → `lbPolicy`, as protobuf's JSON mapping has it: a letter or digit after an underscore is capitalised. */
export function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
}

/** `wrapper`: a scalar that can be absent. */
export type NativeForm = 'any' | 'wrapper' | 'duration' | 'timestamp' | 'fieldmask' | 'struct' | 'list' | 'value'

const natives: Readonly<Record<string, readonly [NativeForm, type: string]>> = {
  'google.protobuf.Any': ['any', 'AnyMessage'],
  'google.protobuf.BoolValue': ['wrapper', 'boolean'],
  'google.protobuf.BytesValue': ['wrapper', 'Uint8Array'],
  'google.protobuf.DoubleValue': ['wrapper', 'number'],
  'google.protobuf.Duration': ['duration', 'number'],
  'google.protobuf.FieldMask': ['fieldmask', 'readonly string[]'],
  'google.protobuf.FloatValue': ['wrapper', 'number'],
  'google.protobuf.Int32Value': ['wrapper', 'number'],
  'google.protobuf.Int64Value': ['wrapper', 'number'],
  'google.protobuf.ListValue': ['list', 'readonly JsonValue[]'],
  'google.protobuf.StringValue': ['wrapper', 'string'],
  'google.protobuf.Struct': ['struct', 'JsonObject'],
  'google.protobuf.Timestamp': ['timestamp', 'number'],
  'google.protobuf.UInt32Value': ['wrapper', 'number'],
  'google.protobuf.UInt64Value': ['wrapper', 'number'],
  'google.protobuf.Value': ['value', 'JsonValue'],
}

/** The TypeScript type of a message that does not decode to an interface of its own, else undefined. */
export function nativeType(typeName: string): string | undefined {
  return natives[typeName]?.[1]
}

export function nativeForm(typeName: string): NativeForm | undefined {
  return natives[typeName]?.[0]
}
