/**
 * The three classes of fields: supported, accepted without effect, refused by name.
 *
 * What Envoy has and this file's lists (`supported.ts`, `accepted-without-effect.ts`) do not name is refused: a field
 * that is read and then ignored would change what a configuration means without anybody noticing.
 */
import { acceptedWithoutEffect } from './accepted-without-effect.ts'
import { comesLater } from './comes-later.ts'
import { supported, supportedValues } from './supported.ts'

export type FieldSupport =
  | { readonly kind: 'supported' }
  | { readonly kind: 'accepted'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string }

export interface Support {
  field(message: string, field: string): FieldSupport
  /** For one value of an enum field. */
  value(message: string, field: string, value: string): FieldSupport
  /** For what an `Any` carries. */
  message(typeName: string): FieldSupport
}

const isSupported: FieldSupport = { kind: 'supported' }
const notYet = 'is not supported yet by Hopwise'

/** What this version of Hopwise supports. */
export const hopwiseSupport: Support = {
  field(message, field) {
    const fields = supported[message]
    if (fields === '*' || fields?.includes(field)) return isSupported
    const reason = acceptedWithoutEffect[`${message}.${field}`] ?? acceptedWithoutEffect[message]
    if (reason !== undefined) return { kind: 'accepted', reason }
    return { kind: 'refused', reason: later(`${message}.${field}`) ?? later(message) ?? notYet }
  },
  value(message, field, value) {
    const values = supportedValues[`${message}.${field}`]
    if (!values || values.includes(value)) return isSupported
    return { kind: 'refused', reason: later(`${message}.${field}=${value}`) ?? notYet }
  },
  message(typeName) {
    if (supported[typeName] !== undefined) return isSupported
    const reason = acceptedWithoutEffect[typeName]
    if (reason !== undefined) return { kind: 'accepted', reason }
    return { kind: 'refused', reason: later(typeName) ?? notYet }
  },
}

/** For messages of services, for tools that only translate, and for tests: whatever the schema knows. */
export const everythingSupported: Support = {
  field: () => isSupported,
  value: () => isSupported,
  message: () => isSupported,
}

function later(name: string): string | undefined {
  const what = comesLater[name]
  return what === undefined ? undefined : `${notYet}: ${what}`
}
