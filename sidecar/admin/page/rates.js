/**
 * Rates from counts: the page keeps what it was told last and takes differences, over a few seconds, so that one request
 * more or less does not make the numbers dance.
 */

const OVER_MS = 5000
const MAX_SAMPLES = 20

export class Rates {
  #samples = []

  /** The mesh with `rate` and `errors` (a share, 0 to 1) on services and edges; undefined until there are two answers. */
  add(mesh) {
    const last = this.#samples.at(-1)
    if (last !== undefined && mesh.at <= last.at) return this.#over(last)
    this.#samples.push(mesh)
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift()
    return this.#over(mesh)
  }

  #over(mesh) {
    const old =
      this.#samples.findLast(sample => mesh.at - sample.at >= OVER_MS) ??
      this.#samples.find(sample => sample.at < mesh.at)
    const seconds = old === undefined ? 0 : (mesh.at - old.at) / 1000
    const edges = new Map(old?.edges.map(edge => [edgeKey(edge), edge]))
    const services = new Map(old?.services.map(service => [service.name, service]))
    return {
      ...mesh,
      edges: mesh.edges.map(edge => ({ ...edge, ...rate(edge, edges.get(edgeKey(edge)), 'total', seconds) })),
      services: mesh.services.map(service => {
        const before = services.get(service.name)
        const rates = rate(service, before, 'requests', seconds)
        const handled = (rates.rate ?? 0) * seconds
        const own = service.ownSeconds < 0 || handled < 1 ? undefined : rise(service, before, 'ownSeconds') / handled
        return { ...service, ...rates, ownMs: own === undefined ? undefined : own * 1000 }
      }),
    }
  }
}

function rate(now, before, field, seconds) {
  if (seconds === 0) return { rate: undefined, errors: 0 }
  const all = rise(now, before, field)
  const failed = rise(now, before, 'failed')
  return { rate: all / seconds, errors: all === 0 ? 0 : Math.min(1, failed / all) }
}

/** A count below its old value belongs to a process that was started anew. */
function rise(now, before, field) {
  const start = before?.[field] ?? 0
  return now[field] >= start ? now[field] - start : now[field]
}

export function edgeKey({ from, to }) {
  return JSON.stringify([from, to])
}
