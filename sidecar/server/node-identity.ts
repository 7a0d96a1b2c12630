/** Who this process says it is: the configured node, what the command line overrides, and the software it runs. */
import type { JsonRecord } from '../admin/server-control.ts'
import { VERSION } from '../base/version.ts'
import { encodeJson } from '../config/encode-json.ts'
import type { Locality, Node } from '../config/schema/generated/types.ts'
import { schema } from '../config/schema/table.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { ServerOptions } from './options.ts'

/** `--service-cluster`, `--service-node` and `--service-zone` win over the file, as in Envoy. */
export function nodeIdentity(
  node: Node | undefined,
  { serviceCluster, serviceNode, serviceZone }: ServerOptions,
): Node | undefined {
  if (serviceCluster === '' && serviceNode === '' && serviceZone === '') return node
  const base = node ?? (newMessage('envoy.config.core.v3.Node') as unknown as Node)
  return {
    ...base,
    ...(serviceCluster !== '' && { cluster: serviceCluster }),
    ...(serviceNode !== '' && { id: serviceNode }),
    ...(serviceZone !== '' && {
      locality: {
        ...(base.locality ?? (newMessage('envoy.config.core.v3.Locality') as unknown as Locality)),
        zone: serviceZone,
      },
    }),
  }
}

function newMessage(typeName: string): Record<string, unknown> {
  return schema().message(typeName)!.create()
}

/** The node as operators and control planes see it: with the user agent and the extensions that this build has. */
export function nodeMessage(node: Node | undefined, filters: ReadonlyMap<string, AnyHttpFilterFactory>): JsonRecord {
  const [major = 0, minor = 0, patch = 0] = VERSION.split(/[.-]/).map(Number)
  return {
    ...(node === undefined ? {} : (encodeJson('envoy.config.core.v3.Node', node, { redact: true }) as JsonRecord)),
    user_agent_name: 'hopwise',
    user_agent_build_version: {
      version: { major_number: major, minor_number: minor, patch },
      metadata: {
        'build.type': 'RELEASE',
        'revision.status': 'Clean',
        'ssl.version': `OpenSSL ${process.versions.openssl}`,
      },
    },
    // By name and by type URL in one map: each factory is there twice.
    extensions: [...new Set(filters.values())].map(({ name, typeUrl }) => ({
      name,
      category: 'envoy.filters.http',
      type_urls: [typeUrl.slice(typeUrl.lastIndexOf('/') + 1)],
    })),
  }
}
