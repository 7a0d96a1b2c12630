/** `/runtime` and `/runtime_modify`: values of `layered_runtime`, by layer, and overrides in its admin layer. */
import { type AdminRequest, type AdminResponse, type Endpoint, json, ok, text } from './message.ts'
import type { ServerControl } from './server-control.ts'

const USAGE =
  'usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n' +
  '       or send the parameters as form values\n' +
  'use an empty value to remove a previously added override'

export function runtimeEndpoints({ runtime }: ServerControl): Endpoint[] {
  return [
    {
      path: '/runtime',
      help: 'print runtime values',
      handle: () => {
        const entries: Record<string, { layer_values: readonly string[]; final_value: string }> = {}
        for (const [key, values] of [...runtime.entries()].sort(([a], [b]) => (a < b ? -1 : 1))) {
          entries[key] = { layer_values: values, final_value: values.findLast(value => value !== '') ?? '' }
        }
        return json({ layers: runtime.layers(), entries })
      },
    },
    {
      path: '/runtime_modify',
      help: 'Adds or modifies runtime values as passed in query parameters: ?key1=value1&key2=value2. An empty value removes an override made here',
      mutates: true,
      handle: request => modify(runtime, request),
    },
  ]
}

function modify(runtime: ServerControl['runtime'], request: AdminRequest): AdminResponse {
  const isForm = request.headers.get('content-type') === 'application/x-www-form-urlencoded'
  const form = isForm ? new URLSearchParams(request.body.toString()) : undefined
  const values = new Map(form !== undefined && form.size > 0 ? form : request.query)
  if (values.size === 0) return text(USAGE, 400)
  const problem = runtime.modify(values)
  return problem === undefined ? ok() : text(`${problem}\n`, 503)
}
