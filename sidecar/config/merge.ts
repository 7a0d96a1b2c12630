/**
 * Protobuf's `MergeFrom` on decoded messages: what `over` says wins, messages are merged field by field, lists are joined
 * and maps are united. Envoy puts `--config-yaml` over the file of `-c` in this way.
 */

import type { FieldDescriptor, MessageDescriptor } from './schema/table.ts'
import { recordSource, sourceRecord } from './source.ts'

type Fields = Readonly<Record<string, unknown>>

/** A new frozen message; neither of the two is changed. Mistakes in it are placed where `under` stands. */
export function mergeMessages<T extends object>(descriptor: MessageDescriptor, under: T, over: T): T {
  const merged = descriptor.create()
  for (const field of descriptor.fields) {
    merged[field.property] = mergeField(field, (under as Fields)[field.property], (over as Fields)[field.property])
  }
  // Of a oneof only one member can be set: the one that came last.
  for (const { fields } of descriptor.oneofs) {
    if (!fields.some(field => isSet(field, (over as Fields)[field.property]))) continue
    for (const field of fields) {
      if (!isSet(field, (over as Fields)[field.property])) merged[field.property] = field.absent
    }
  }
  const source = sourceRecord(under) ?? sourceRecord(over)
  if (source !== undefined) recordSource(merged, source)
  return Object.freeze(merged) as T
}

function mergeField(field: FieldDescriptor, under: unknown, over: unknown): unknown {
  if (!isSet(field, over)) return under
  if (!isSet(field, under)) return over
  if (field.repeated) return Object.freeze([...(under as readonly unknown[]), ...(over as readonly unknown[])])
  if (field.isMap)
    return new Map([...(under as ReadonlyMap<string, unknown>), ...(over as ReadonlyMap<string, unknown>)])
  const { message } = field
  if (message === undefined || message.native !== undefined) return over
  return mergeMessages(message, under as object, over as object)
}

function isSet(field: FieldDescriptor, value: unknown): boolean {
  if (value === undefined) return false
  if (field.repeated) return (value as readonly unknown[]).length > 0
  if (field.isMap) return (value as ReadonlyMap<string, unknown>).size > 0
  return field.hasPresence || value !== field.zero
}
