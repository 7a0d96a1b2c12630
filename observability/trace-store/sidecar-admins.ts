/** Asks sidecars on their admin listeners, for whoever puts together what several of them say. */
import { Agent, get } from 'node:http'

const agent = new Agent({ keepAlive: true })
const TIMEOUT_MS = 3000

/** Base URLs of admin listeners (`http://127.0.0.1:9901`) by the name of the sidecar. */
export type SidecarAdmins = ReadonlyMap<string, string>

/** The answers of those that answer: one that is down says nothing. */
export async function askAll<T>(sidecars: SidecarAdmins, one: (url: string, name: string) => Promise<T>): Promise<T[]> {
  const answers = await Promise.allSettled([...sidecars].map(([name, url]) => one(url, name)))
  return answers.filter(answer => answer.status === 'fulfilled').map(answer => answer.value)
}

/** The body of a 200; rejects with anything else. */
export function fetchText(url: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  // Not `fetch`, which has a list of ports that it does not go to.
  const request = get(url, { agent, timeout: TIMEOUT_MS }, response => {
    let text = ''
    response.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    response.on('error', reject)
    response.on('end', () => {
      if (response.statusCode === 200) resolve(text)
      else reject(new Error(`${url}: ${response.statusCode}`))
    })
  })
  request.on('timeout', () => request.destroy(new Error(`${url}: no answer in ${TIMEOUT_MS} ms`)))
  request.on('error', reject)
  return promise
}
