/**
 * `weighted_clusters`: which of several clusters a request goes to, by lot, by a header or by the route's hash policy.
 */
import type { WeightedCluster, WeightedCluster_ClusterWeight } from '../config/schema/generated/types.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { HashPolicy } from './hash-policy.ts'
import type { MatchInput } from './match-input.ts'
import type { Mistakes } from './mistakes.ts'

const MAX_TOTAL = 0xffffffff

export class WeightedClusters {
  readonly #weights: readonly number[]
  readonly #total: number
  /** Runtime keys of the weights, where `runtime_key_prefix` is given. */
  readonly #runtimeKeys: readonly string[] | undefined
  readonly #runtime: Runtime
  /** Header whose number decides instead of the lot, '' for none. */
  readonly #headerName: string
  readonly #hashPolicy: HashPolicy | undefined

  /** `message` is the current message of `mistakes`. */
  constructor(message: WeightedCluster, runtime: Runtime, hashPolicy: HashPolicy | undefined, mistakes: Mistakes) {
    this.#weights = message.clusters.map(cluster => cluster.weight ?? 0)
    this.#total = this.#weights.reduce((sum, weight) => sum + weight, 0)
    const prefix = message.runtimeKeyPrefix
    this.#runtimeKeys = prefix === '' ? undefined : message.clusters.map(({ name }) => `${prefix}.${name}`)
    this.#runtime = runtime
    this.#headerName = message.headerName?.toLowerCase() ?? ''
    this.#hashPolicy = message.useHashPolicy === true ? hashPolicy : undefined
    if (this.#total === 0) mistakes.error('clusters', 'Sum of weights in the weighted_cluster must be greater than 0.')
    if (this.#total > MAX_TOTAL) {
      mistakes.error('clusters', `The sum of weights of all weighted clusters must not be above ${MAX_TOTAL}.`)
    }
    message.clusters.forEach((cluster, index) => {
      checkCluster(cluster, mistakes.below(`clusters[${index}]`, cluster))
    })
  }

  /** Position of the cluster for this request. */
  choose(input: MatchInput): number {
    const keys = this.#runtimeKeys
    let weights = this.#weights
    let total = this.#total
    if (keys !== undefined) {
      const configured = weights
      weights = keys.map((key, index) => this.#runtime.number(key, configured[index]!))
      total = weights.reduce((sum, weight) => sum + weight, 0)
      // All weights set to 0 while the proxy runs: Envoy has nothing to choose from either and takes the first.
      if (total <= 0) return 0
    }
    const selected = this.#selected(input, total)
    let end = 0
    for (let i = 0; i < weights.length; i++) {
      end += weights[i]!
      if (selected < end) return i
    }
    return weights.length - 1
  }

  #selected(input: MatchInput, total: number): number {
    const hash = this.#hashPolicy?.hash(input.headers, input.info, undefined)
    if (hash !== undefined) return Number(hash % BigInt(total))
    if (this.#headerName !== '') {
      const values = input.headers.getAll(this.#headerName)
      // Several values, or none, or no number: the lot decides.
      if (values.length === 1 && /^\d{1,20}$/.test(values[0]!)) {
        const value = BigInt(values[0]!)
        if (value < 1n << 64n) return Number(value % BigInt(total))
      }
    }
    return input.uint32() % total
  }
}

function checkCluster(cluster: WeightedCluster_ClusterWeight, mistakes: Mistakes): void {
  if (cluster.weight === undefined) mistakes.error('weight', 'is required')
  if (cluster.name !== '' && cluster.clusterHeader !== '') {
    mistakes.error('cluster_header', 'Only one of name or cluster_header can be specified')
  } else if (cluster.name === '' && cluster.clusterHeader === '') {
    mistakes.error('name', 'At least one of name or cluster_header need to be specified')
  }
}
