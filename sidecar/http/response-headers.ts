/** What the connection manager does to a response's headers after all filters have seen them. */
import type { ResponseHeaders } from '../codec/header-map.ts'

export interface ResponseHeaderPolicy {
  readonly serverName: string
  readonly serverHeader: 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH'
  readonly via: string
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** Changes `headers` in place. `upgrade`: the response accepts an upgrade, so `connection` and `upgrade` stay. */
export function mutateResponseHeaders(
  headers: ResponseHeaders,
  policy: ResponseHeaderPolicy,
  upgrade: boolean,
  date: string,
): void {
  const list = headers.list
  let kept = 0
  let hasDate = false
  let hasServer = false
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    let value = list[i + 1]!
    switch (name.charCodeAt(0)) {
      case 0x63: // c
      case 0x75: // u
        if (HOP_BY_HOP.has(name) && !upgrade) continue
        break
      case 0x6b: // k
      case 0x70: // p
      case 0x74: // t
        if (HOP_BY_HOP.has(name)) continue
        break
      case 0x64: // d
        if (name === 'date') hasDate = true
        break
      case 0x73: // s
        if (name === 'server') {
          if (policy.serverHeader === 'OVERWRITE') {
            if (hasServer) continue
            value = policy.serverName
          }
          hasServer = true
        }
        break
    }
    list[kept++] = name
    list[kept++] = value
  }
  list.length = kept
  if (!hasDate) list.push('date', date)
  if (!hasServer && policy.serverHeader !== 'PASS_THROUGH') list.push('server', policy.serverName)
  if (policy.via !== '') headers.appendJoined('via', policy.via, ', ')
}

let dateText = ''
let dateSecond = -1

/** The `Date` header for a wall-clock reading, made anew once a second (RFC 9110 §5.6.7). */
export function httpDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(second * 1000).toUTCString()
  }
  return dateText
}
