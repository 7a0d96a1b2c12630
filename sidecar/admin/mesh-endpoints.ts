/**
 * What the page asks for, as JSON: `/mesh`, `/mesh/part`, `/mesh/clusters`, `/mesh/config`, `/mesh/collectors`,
 * `/mesh/failure/<id>`, `/mesh/trace/<id>`, and `/config_sources`. No endpoints of Envoy's. A page over several sidecars has
 * the same paths and answers them from the parts of each.
 */
import type { FailureEntry } from '../failure-origin/failure-log.ts'
import { compressed } from './compressed.ts'
import { failureView, meshView } from './mesh-view.ts'
import { type AdminRequest, type AdminResponse, type Endpoint, JSON_TYPE, json, respond, text } from './message.ts'
import type { ServerControl } from './server-control.ts'

/** A page shows fifty; many a failure is several entries. */
const MAX_ENTRIES = 300
const PREFIX = 'type.googleapis.com/envoy.admin.v3.'

export function meshEndpoints(control: ServerControl): Endpoint[] {
  return [
    {
      path: '/mesh',
      help:
        'print what this sidecar sees of the mesh: /mesh, /mesh/part, /mesh/clusters, /mesh/config, /mesh/collectors, /mesh/failure/<id>, ' +
        '/mesh/trace/<id>',
      below: true,
      handle: async request => compressed(request, await mesh(control, request)),
    },
    {
      path: '/config_sources',
      help: 'print where listeners, routes and clusters stand in the configuration files',
      handle: () => json({ sources: control.configSources() }),
    },
  ]
}

async function mesh(control: ServerControl, { path }: AdminRequest): Promise<AdminResponse> {
  const [, , what = '', id = '', ...more] = path.split('/')
  if (more.length > 0) return text(`there is no ${path}\n`, 404)
  switch (what) {
    case '': {
      const sidecar = await control.sidecar()
      return compact(meshView([{ sidecar, entries: newest(control) }], 'sidecar', sidecar.at))
    }
    case 'part':
      return compact({ sidecar: await control.sidecar(), entries: newest(control) })
    case 'clusters':
      return compact({ clusters: await control.clusterDetails(), rateLimits: await control.rateLimits() })
    case 'config': {
      const configs = control.configDump(false).map(({ type, message }) => ({ '@type': PREFIX + type, ...message }))
      return compact({ sources: control.configSources(), configs })
    }
    case 'collectors':
      return compact({ collectors: await control.collectors() })
    case 'failure':
      return failure(control, id)
    case 'trace':
      return trace(control, id)
    default:
      return text(`there is no ${path}\n`, 404)
  }
}

async function failure(control: ServerControl, id: string): Promise<AdminResponse> {
  const entries = control.failures.list({ id, limit: MAX_ENTRIES }) as readonly FailureEntry[]
  // Those that know it by another name too.
  const aliases = new Set(entries.flatMap(entry => [entry.id, ...entry.aliases]))
  const all = new Set(entries)
  for (const alias of aliases) {
    if (alias === id) continue
    for (const entry of control.failures.list({ id: alias, limit: MAX_ENTRIES })) all.add(entry as FailureEntry)
  }
  const view = failureView([...all], id, [await control.sidecar()], 'sidecar')
  return view === undefined ? text(`no failure ${id} among those remembered\n`, 404) : compact(view)
}

async function trace(control: ServerControl, id: string): Promise<AdminResponse> {
  if (!/^[0-9a-f]{16,32}$/i.test(id)) return text('a trace id is 16 to 32 hexadecimal digits\n', 400)
  const found = await control.trace(id.toLowerCase())
  // That there is none is an answer: spans come late, and the page asks again.
  if (typeof found === 'string') return compact({ spans: [], why: found })
  return respond(200, JSON_TYPE, Buffer.concat([Buffer.from('{"spans":'), found, Buffer.from('}\n')]))
}

function newest(control: ServerControl): readonly FailureEntry[] {
  return control.failures.list({ limit: MAX_ENTRIES }) as readonly FailureEntry[]
}

/** These are asked for again and again, so without blanks. */
function compact(value: unknown): AdminResponse {
  return respond(200, JSON_TYPE, `${JSON.stringify(value)}\n`)
}
