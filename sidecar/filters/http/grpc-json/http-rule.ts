/**
 * `google.api.http`: how a method is called over HTTP. The rule is an extension of the method's options, which descriptor
 * sets carry whether or not they carry the extension's own file; so it is read from its bytes.
 */

/** Field number of `google.api.http` in `MethodOptions`. */
export const HTTP_EXTENSION = 72295728

export interface HttpRule {
  readonly method: string
  readonly path: string
  /** Field that the body fills, `*` for the whole message, '' for none. */
  readonly body: string
  readonly responseBody: string
}

const PATTERNS: Readonly<Record<number, string>> = { 2: 'GET', 3: 'PUT', 4: 'POST', 5: 'DELETE', 6: 'PATCH' }
const BODY = 7
const CUSTOM = 8
const ADDITIONAL = 11
const RESPONSE_BODY = 12

/** The rule and its `additional_bindings`; undefined where the bytes are no rule. */
export function readHttpRules(bytes: Uint8Array): readonly HttpRule[] | undefined {
  const rules: HttpRule[] = []
  const more: Uint8Array[] = []
  let method = ''
  let path = ''
  let body = ''
  let responseBody = ''
  const fields = readFields(bytes)
  if (fields === undefined) return undefined
  for (const [number, value] of fields) {
    if (PATTERNS[number] !== undefined) {
      method = PATTERNS[number]
      path = text(value)
    } else if (number === BODY) body = text(value)
    else if (number === RESPONSE_BODY) responseBody = text(value)
    else if (number === ADDITIONAL) more.push(value)
    else if (number === CUSTOM) {
      const custom = new Map(readFields(value) ?? [])
      method = text(custom.get(1) ?? NONE)
      path = text(custom.get(2) ?? NONE)
    }
  }
  if (path !== '') rules.push({ method, path, body, responseBody })
  for (const nested of more) {
    const bindings = readHttpRules(nested)
    if (bindings === undefined) return undefined
    rules.push(...bindings)
  }
  return rules
}

const NONE = new Uint8Array()

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8')
}

/** Fields of wire type 2, the only one that rules have. */
function readFields(bytes: Uint8Array): [number, Uint8Array][] | undefined {
  const fields: [number, Uint8Array][] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 1; at < bytes.length; shift *= 128) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * shift
      if (byte < 0x80) return value
    }
    return Number.NaN
  }
  while (at < bytes.length) {
    const tag = varint()
    const length = varint()
    if (tag % 8 !== 2 || Number.isNaN(length) || at + length > bytes.length) return undefined
    fields.push([Math.floor(tag / 8), bytes.subarray(at, at + length)])
    at += length
  }
  return fields
}
