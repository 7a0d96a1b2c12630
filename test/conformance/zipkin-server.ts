/** A real Zipkin server on a free port, with its storage in memory. */
import type { TestContext } from 'node:test'
import { freePort } from '../kit/free-port.ts'
import { part, partOrSkip } from '../kit/parts.ts'
import { TestProcess } from '../kit/process.ts'

/** A JVM with Spring in it takes its time on a busy machine. */
const START_DEADLINE_MS = 120_000

/** Base URL, or undefined where Zipkin is missing and may be. It ends with the test. On a free port unless one is given. */
export async function startZipkin(test: TestContext, givenPort?: number): Promise<string | undefined> {
  const jar = await partOrSkip(test, 'zipkin')
  if (jar === undefined) return undefined
  const port = givenPort ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const process = TestProcess.start(await part('java'), ['-Xmx256m', '-jar', jar], {
    name: 'zipkin',
    env: { QUERY_PORT: String(port), SELF_TRACING_ENABLED: 'false' },
  })
  test.after(() => process.stop('SIGKILL'))
  const healthy = async () => {
    try {
      return (await fetch(`${url}/health`)).status === 200
    } catch {
      return false
    }
  }
  await process.waitUntil(healthy, 'health', START_DEADLINE_MS)
  return url
}
