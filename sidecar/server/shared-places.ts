/** What filters of a listener share with the same filters in other worker threads, named alike in all of them. */

import type { Listener as ListenerMessage } from '../config/schema/generated/types.ts'
import type { SharedState } from '../filter-chain/http-filter.ts'
import type { WorkerPlace } from './environment.ts'

/**
 * Names are made of the listener's whole configuration and the place in it. So a listener that a reload leaves alone goes
 * on with its state, one that it changes begins anew, and a worker that is started later finds what the others use.
 */
export function sharedStateOf(message: ListenerMessage, { buckets }: WorkerPlace): SharedState {
  const places = new Map<object, string>()
  collect(message, '', places)
  const listener = JSON.stringify(message, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  return {
    bucket: text => buckets.cell(`${text} ${listener}`),
    count: text => buckets.count(text),
    place: part => places.get(part) ?? JSON.stringify(part),
  }
}

function collect(value: unknown, path: string, places: Map<object, string>): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return
  places.set(value, path)
  for (const [key, part] of Object.entries(value)) collect(part, `${path}/${key}`, places)
}
