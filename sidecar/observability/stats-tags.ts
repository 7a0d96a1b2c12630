/**
 * From a dotted stat name to a metric name with labels, as Envoy 1.40 does it: `cluster.orders.upstream_rq_503` is
 * `cluster.upstream_rq` with `envoy.cluster_name=orders` and `envoy.response_code=503`.
 *
 * Every rule looks at the whole original name and cuts its own piece out, so rules do not depend on each other; of two
 * rules for one tag the first to match wins. Rules whose pattern begins with a fixed token are tried only on names that
 * begin with it, and after the rules without one: that is also the order in which labels are printed (measured).
 *
 * Envoy runs this when a stat is made; here the first reader that wants labels asks, once per stat, so that a proxy nobody
 * scrapes never pays for it.
 */
import { Pattern } from './stats-regex.ts'

export type Tag = readonly [name: string, value: string]

export interface ExtractedName {
  /** The name without the tags' values, still dotted. */
  readonly name: string
  readonly tags: readonly Tag[]
}

/** `stats_config.stats_tags[]`. */
export interface TagSpecifier {
  readonly tagName: string
  readonly regex?: string | undefined
  readonly fixedValue?: string | undefined
}

export interface TagOptions {
  readonly statsTags?: readonly TagSpecifier[]
  /** `use_all_default_tags`; true when it is not set. */
  readonly useAllDefaultTags?: boolean | undefined
  /** `allow_default_tag_overrides`: a tag given here replaces the default of its name instead of coming after it. */
  readonly allowDefaultTagOverrides?: boolean | undefined
}

/** What a rule found: the value, and the stretch of the name to cut out (empty for a fixed value). */
interface Cut {
  readonly value: string
  readonly start: number
  readonly end: number
}

interface Rule {
  readonly tag: string
  /** First token of the names it can match, '' for any. */
  readonly prefix: string
  find(name: string, tokens: readonly string[]): Cut | undefined
}

const ADDRESS = String.raw`(?:(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+)`
const VALUE = '[^.]+'
const CIPHER = String.raw`[\w-]+`

/**
 * Envoy's default tags in its order. A string with `$` is a pattern of tokens: `*` is any one, `**` any number (at
 * least one when it is last), `$` the value. The regular expressions are ours and of bounded work, so they run on the built-in engine: their first group is cut
 * out, the second is the value. `needed` is a text without which one cannot match, looked for first because it is cheaper;
 * `except` is a value that does not count.
 */
type Default = readonly [tag: string, pattern: string | RegExp, needed?: string, except?: string]
const DEFAULTS: readonly Default[] = [
  ['envoy.response_code', /_rq(_(\d{3}))$/d, '_rq_'],
  ['envoy.response_code_class', /_rq_((\d))xx$/d, '_rq_'],
  [
    'envoy.dynamo_partition_id',
    pattern('^http\\.V\\.dynamodb\\.table\\.V\\.capacity\\.V(\\.__partition_id=(\\w{7}))$'),
    '.dynamodb.',
  ],
  [
    'envoy.dynamo_operation',
    pattern('^http\\.V\\.dynamodb.(?:operation|table\\.V\\.capacity)(\\.(V))(?:\\.|$)'),
    '.dynamodb',
  ],
  ['envoy.mongo_callsite', 'mongo.*.collection.*.callsite.$.query.**'],
  ['envoy.dynamo_table', pattern('^http\\.V\\.dynamodb.(?:table|error)\\.((V)\\.)'), '.dynamodb'],
  ['envoy.mongo_collection', 'mongo.*.collection.$.**.query.*'],
  ['envoy.mongo_cmd', 'mongo.*.cmd.$.**'],
  ['envoy.grpc_bridge_method', 'cluster.*.grpc.*.$.**'],
  ['envoy.http_user_agent', 'http.*.user_agent.$.**'],
  ['envoy.virtual_cluster', 'vhost.*.vcluster.$.**'],
  ['envoy.fault_downstream_cluster', 'http.*.fault.$.**'],
  ['envoy.ssl_cipher', pattern('^listener\\..*?\\.ssl\\.ciphers(\\.(C))$'), '.ssl.'],
  ['envoy.ssl_curve', pattern('^(?:listener|cluster)\\..*?\\.ssl\\.curves(\\.(C))$'), '.ssl.'],
  ['envoy.ssl_sigalg', pattern('^(?:listener|cluster)\\..*?\\.ssl\\.sigalgs(\\.(C))$'), '.ssl.'],
  ['envoy.ssl_version', /^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$/d, '.ssl.'],
  ['envoy.ssl_cipher_suite', pattern('^cluster\\.V\\.ssl\\.ciphers(\\.(C))$'), '.ssl.'],
  ['envoy.grpc_bridge_service', 'cluster.*.grpc.$.**'],
  ['envoy.tcp_prefix', 'tcp.$.**'],
  ['envoy.udp_prefix', 'udp.$.**'],
  ['envoy.clientssl_prefix', 'auth.clientssl.$.**'],
  ['envoy.ratelimit_prefix', 'ratelimit.$.**'],
  ['envoy.health_check_name', pattern('^cluster\\.V\\.health_check(\\.name\\.(V))\\..+'), '.health_check.'],
  ['envoy.cluster_name', 'cluster.$.**'],
  ['envoy.http_conn_manager_prefix', pattern('^listener\\..*?\\.http\\.((V)\\.)'), '.http.'],
  ['envoy.ext_authz_prefix', 'cluster.*.ext_authz.$.**'],
  ['envoy.ext_authz_prefix', 'http.*.ext_authz.$.**'],
  ['envoy.rbac_http_prefix', pattern('^http\\.V\\.rbac\\.((V)\\.).*?'), '.rbac.', 'policy'],
  [
    'envoy.rbac_policy_name',
    pattern('^http\\.V\\.rbac\\.(?:V\\.)?policy\\.((V)\\.)(?:allowed|shadow_allowed|denied|shadow_denied)$'),
    '.policy.',
  ],
  ['envoy.rds_route_config', /^http\.[^.]+\.rds\.(([\w.-]+)\.)\w+?$/d, '.rds.'],
  ['envoy.scoped_rds_config', /^http\.[^.]+\.scoped_rds\.(([\w.-]+)\.)\w+?$/d, '.scoped_rds.'],
  ['envoy.http_conn_manager_prefix', 'http.$.**'],
  [
    'envoy.worker_id',
    pattern('^(?:listener\\.(?:A|V)|server|listener_manager|thread_local_cluster_manager)\\.worker_((\\d+)\\.)'),
    '.worker_',
  ],
  ['envoy.listener_address', pattern('^listener\\.((A|V)\\.)'), 'listener.', 'admin'],
  ['envoy.tls_certificate', pattern('^(?:listener|cluster)\\..*?\\.ssl\\.certificate\\.((V)\\.).*$'), '.ssl.'],
  ['envoy.virtual_host', 'vhost.$.**'],
  ['envoy.mongo_prefix', 'mongo.$.**'],
  ['envoy.route', 'vhost.*.route.$.**'],
  ['envoy.thrift_prefix', 'thrift.$.**'],
  ['envoy.redis_prefix', 'redis.$.**'],
  ['envoy.local_http_ratelimit_prefix', '$.http_local_rate_limit.**'],
  ['envoy.local_network_ratelimit_prefix', 'local_rate_limit.$.**'],
  ['envoy.local_listener_ratelimit_prefix', 'listener_local_ratelimit.$.**'],
  ['envoy.dns_filter_prefix', 'dns_filter.$.**'],
  ['envoy.connection_limit_prefix', 'connection_limit.$.**'],
  ['envoy.rbac_prefix', '$.rbac.**'],
  ['envoy.proxy_protocol_prefix', pattern('^proxy_proto\\.((V)\\.).+$'), 'proxy_proto.', 'versions'],
  ['envoy.proxy_protocol_version', /^proxy_proto\.((?:[^.]+\.)?versions\.v(\d)\.)\w+$/d, 'versions.'],
  ['envoy.google_grpc_client_prefix', 'grpc.$.**'],
  ['envoy.xds_resource_name', pattern('^sds\\.((V)\\.).+')],
]

function pattern(source: string): RegExp {
  return new RegExp(source.replace(/\bA\b/g, ADDRESS).replace(/\bV\b/g, VALUE).replace(/\bC\b/g, CIPHER), 'd')
}

export class TagExtractor {
  readonly #any: Rule[] = []
  readonly #byPrefix = new Map<string, Rule[]>()

  /** Throws `PatternError` for a regex RE2 would refuse, and `Error` for a tag without one that is no default. */
  constructor(options: TagOptions = {}) {
    const custom = options.statsTags ?? []
    const overridden = new Set(options.allowDefaultTagOverrides ? custom.map(tag => tag.tagName) : [])
    if (options.useAllDefaultTags !== false) {
      for (const row of DEFAULTS) if (!overridden.has(row[0])) this.#add(ruleOf(row))
    }
    for (const { tagName, regex, fixedValue } of custom) {
      if (fixedValue !== undefined) this.#add({ tag: tagName, prefix: '', find: () => fixed(fixedValue) })
      else if (regex !== undefined && regex !== '') this.#add(customRule(tagName, regex))
      else this.#addDefaultsOf(tagName)
    }
  }

  extract(name: string): ExtractedName {
    const tags: Tag[] = []
    const cuts: Cut[] = []
    const tokens = name.split('.')
    const run = (rules: readonly Rule[]) => {
      for (const rule of rules) {
        const cut = rule.find(name, tokens)
        if (cut === undefined || tags.some(tag => tag[0] === rule.tag)) continue
        tags.push([rule.tag, cut.value])
        if (cut.end > cut.start) cuts.push(cut)
      }
    }
    run(this.#any)
    if (tokens.length > 1) run(this.#byPrefix.get(tokens[0]!) ?? [])
    return { name: without(name, cuts), tags }
  }

  #add(rule: Rule): void {
    if (rule.prefix === '') {
      this.#any.push(rule)
      return
    }
    const rules = this.#byPrefix.get(rule.prefix)
    if (rules === undefined) this.#byPrefix.set(rule.prefix, [rule])
    else rules.push(rule)
  }

  #addDefaultsOf(tagName: string): void {
    const defaults = DEFAULTS.filter(([tag]) => tag === tagName)
    if (defaults.length === 0) {
      throw new Error(`No regex specified for tag specifier and no default regex for name: '${tagName}'`)
    }
    for (const row of defaults) this.#add(ruleOf(row))
  }
}

function ruleOf([tag, source, needed = '', except]: Default): Rule {
  if (typeof source === 'string') return tokenRule(tag, source.split('.'))
  const find = (name: string): Cut | undefined => {
    if (!name.includes(needed)) return undefined
    const found = source.exec(name)
    if (found === null || found[2] === except) return undefined
    const [start, end] = found.indices![1]!
    return { value: found[2]!, start, end }
  }
  return { tag, prefix: fixedPrefix(source.source), find }
}

function customRule(tag: string, regex: string): Rule {
  const compiled = new Pattern(regex)
  const find = (name: string): Cut | undefined => {
    const groups = compiled.groups(name)
    return groups && { value: groups.second ?? groups.first, start: groups.start, end: groups.end }
  }
  return { tag, prefix: fixedPrefix(regex), find }
}

function tokenRule(tag: string, wanted: readonly string[]): Rule {
  const first = wanted[0]!
  const find = (_name: string, tokens: readonly string[]): Cut | undefined => {
    const index = valueIndex(wanted, 0, tokens, 0, -1)
    if (index < 0) return undefined
    let start = 0
    for (let i = 0; i < index; i++) start += tokens[i]!.length + 1
    const value = tokens[index]!
    // The dot after the value goes with it; the last token takes the dot before it.
    const last = index === tokens.length - 1
    return { value, start: last && start > 0 ? start - 1 : start, end: start + value.length + (last ? 0 : 1) }
  }
  return { tag, prefix: first === '$' || first === '*' ? '' : first, find }
}

/** Index of the token that stands for `$`, or -1 when the tokens do not match. */
function valueIndex(wanted: readonly string[], w: number, tokens: readonly string[], t: number, found: number): number {
  if (w === wanted.length) return t === tokens.length ? found : -1
  const want = wanted[w]!
  if (want === '**') {
    if (w === wanted.length - 1) return t < tokens.length ? found : -1
    for (let next = t; next <= tokens.length; next++) {
      const index = valueIndex(wanted, w + 1, tokens, next, found)
      if (index >= 0) return index
    }
    return -1
  }
  if (t === tokens.length) return -1
  if (want === '$') return valueIndex(wanted, w + 1, tokens, t + 1, t)
  return want === '*' || want === tokens[t] ? valueIndex(wanted, w + 1, tokens, t + 1, found) : -1
}

/** `http` of `^http\.…`: the token every match begins with, '' where the pattern does not say (Envoy's rule). */
function fixedPrefix(source: string): string {
  return /^\^(\w+)(?:\\\.|\(\?=\\\.\)|\$$)/.exec(source)?.[1] ?? ''
}

function fixed(value: string): Cut {
  return { value, start: 0, end: 0 }
}

function without(name: string, cuts: Cut[]): string {
  if (cuts.length === 0) return name
  cuts.sort((a, b) => a.start - b.start)
  let out = ''
  let at = 0
  for (const cut of cuts) {
    // Cuts may overlap (a custom regex over a default one): each character goes once.
    if (cut.start > at) out += name.slice(at, cut.start)
    at = Math.max(at, cut.end)
  }
  return out + name.slice(at)
}
