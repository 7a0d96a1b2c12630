/**
 * `hopwise config clusters|listeners|routes|endpoints`: what a sidecar runs, as tables with the columns of
 * `istioctl proxy-config`, and FROM: the place in the configuration file. Reads the admin endpoints of a Hopwise or an Envoy,
 * or a saved `/config_dump`.
 */
import { readFileSync } from 'node:fs'
import { ADMIN_HELP, ADMIN_OPTION, AdminClient } from './admin-client.ts'
import { CommandError, command, UsageError } from './command.ts'
import {
  type ClusterStatus,
  type ConfigData,
  clusterTable,
  type Dump,
  endpointTable,
  listenerTable,
  routeTable,
  type Source,
} from './config-tables.ts'
import { painter, tableText } from './table.ts'

export const configHelp = `usage: hopwise config WHAT [NAME] [--admin HOST:PORT | -f DUMP] [--json]

Shows what a sidecar runs. WHAT is clusters, listeners, routes or endpoints; NAME leaves only those whose name has it in it
(of endpoints: whose cluster's name). Any prefix will do: hopwise config c.

${ADMIN_HELP}
  -f, --file DUMP    a saved answer of /config_dump?include_eds ("-" reads standard input), also of an Envoy
  --json             the rows as JSON, with the whole of each resource under "resource"

  hopwise config clusters
  hopwise config routes orders --admin 127.0.0.1:9901
  curl -s localhost:9901/config_dump?include_eds | hopwise config endpoints -f -

Exit codes: 0 shown, 1 no answer or nothing of that name, 2 wrong command line.
`

const TABLES = {
  clusters: clusterTable,
  listeners: listenerTable,
  routes: routeTable,
  endpoints: endpointTable,
} as const

type What = keyof typeof TABLES

export const config = command(
  'config',
  configHelp,
  { ...ADMIN_OPTION, file: { type: 'string', short: 'f' }, json: { type: 'boolean' } },
  async ({ values, positionals, io }) => {
    const [given, name, ...more] = positionals
    if (given === undefined) throw new UsageError('say what to show: clusters, listeners, routes or endpoints')
    if (more.length > 0) throw new UsageError(`takes one name, but was given '${more[0]}' as well`)
    const kinds = (Object.keys(TABLES) as What[]).filter(kind => kind.startsWith(given))
    if (kinds.length !== 1)
      throw new UsageError(`cannot show '${given}'; there are clusters, listeners, routes, endpoints`)
    if (values.file !== undefined && values.admin !== undefined) throw new UsageError('--admin or --file, not both')
    const source =
      values.file === undefined
        ? await fromAdmin(AdminClient.of(values.admin))
        : fromDump(values.file === '-' ? await io.stdin() : readDump(values.file), values.file)
    const { heads, rows } = TABLES[kinds[0]!](source)
    const shown = name === undefined ? rows : rows.filter(row => row.name.includes(name))
    if (values.json === true) {
      const fields = heads.map(head => head.toLowerCase().replaceAll(' ', '_'))
      const objects = shown.map(({ cells, resource }) => ({
        ...Object.fromEntries(cells.map((cell, i) => [fields[i]!, cell === '-' ? '' : cell])),
        resource,
      }))
      io.out(`${JSON.stringify(objects, undefined, 2)}\n`)
    } else {
      const [head = '', ...lines] = tableText(
        heads,
        shown.map(({ cells }) => cells),
      ).split(/(?<=\n)/)
      io.out(painter(io.colours)(head.trimEnd(), 'bold') + '\n' + lines.join(''))
    }
    if (shown.length > 0) return 0
    const all = rows.length === 0 ? 'there are none' : `there are ${rows.length} of other names`
    io.error(`hopwise config: no ${kinds[0]}${name === undefined ? '' : ` with '${name}' in the name`}; ${all}\n`)
    return name === undefined ? 0 : 1
  },
)

async function fromAdmin(admin: AdminClient): Promise<ConfigData> {
  const [dump, clusters, sources] = await Promise.all([
    admin.json<Dump>('/config_dump?include_eds'),
    admin.json<{ cluster_statuses?: ClusterStatus[] }>('/clusters?format=json'),
    // An Envoy does not know its files.
    admin.status('/config_sources'),
  ])
  return {
    dump,
    clusters: clusters.cluster_statuses ?? [],
    sources: sources.status === 200 ? (JSON.parse(sources.text) as { sources: Source[] }).sources : [],
  }
}

function readDump(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CommandError(`${file}: ${(error as Error).message}`)
  }
}

function fromDump(text: string, file: string): ConfigData {
  let dump: Dump
  try {
    dump = JSON.parse(text) as Dump
  } catch (error) {
    throw new CommandError(`${file} is no JSON: ${(error as Error).message}`)
  }
  if (!Array.isArray(dump?.configs)) throw new CommandError(`${file} is no answer of /config_dump: it has no "configs"`)
  return { dump, clusters: undefined, sources: [] }
}
