/** The query of a request target, as Envoy reads it: `+` is a plus, a `%` that begins no escape stays. */

/** Values by name, both percent-decoded, in wire order; a parameter without `=` has the value ''. */
export function parseQuery(path: string): Map<string, string[]> {
  const query = new Map<string, string[]>()
  for (const { name: rawName, value } of splitQuery(path)) {
    const name = percentDecode(rawName)
    const values = query.get(name)
    if (values === undefined) query.set(name, [percentDecode(value)])
    else values.push(percentDecode(value))
  }
  return query
}

/** Name and value of every parameter as they stand on the wire. */
export function splitQuery(path: string): { name: string; value: string }[] {
  const start = path.indexOf('?')
  if (start < 0 || start + 1 === path.length) return []
  return path
    .slice(start + 1)
    .split('&')
    .map(parameter => {
      const equals = parameter.indexOf('=')
      if (equals < 0) return { name: parameter, value: '' }
      return { name: parameter.slice(0, equals), value: parameter.slice(equals + 1) }
    })
}

/** The result is bytes as characters, like every value from the wire. */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** Everything but letters, digits, `-`, `.`, `_` and `*`, as Envoy encodes values it adds to a query. Takes bytes. */
export function percentEncode(bytes: string): string {
  return bytes.replace(
    /[^A-Za-z0-9\-._*]/g,
    byte => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
