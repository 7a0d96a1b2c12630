/** The page of the demo: the page over its sidecars, with what the demo breaks on purpose beside it. */
import { createServer } from 'node:http'
import { MeshPage } from '../observability/trace-store/mesh-page.ts'
import type { SidecarAdmins } from '../observability/trace-store/sidecar-admins.ts'
import { describe, evidenceText, type Told } from './terminal.ts'

export interface Page {
  readonly url: string
  close(): Promise<void>
}

/** What the demo does right now, for the page. */
export class DemoState {
  current = ''
  readonly told: object[] = []

  begin(title: string): void {
    this.current = title
  }

  end({ fault, callersSaw, named, verdict }: Told): void {
    this.current = ''
    this.told.unshift({
      at: Date.now(),
      title: fault.title,
      callersSaw,
      named: describe(named),
      evidence: evidenceText(named),
      failureId: named?.failureId ?? '',
      right: verdict.right,
      why: verdict.why,
    })
  }
}

/** Failures told of; the terminal has them all. */
const MAX_TOLD = 50

export async function startPage(options: {
  readonly port: number
  readonly traceStoreUrl: string
  readonly admins: SidecarAdmins
  readonly state: DemoState
}): Promise<Page> {
  const { admins, state, traceStoreUrl } = options
  const page = new MeshPage({
    sidecars: admins,
    trace: async id => {
      const answer = await fetch(`${traceStoreUrl}/api/v2/trace/${id}`)
      return answer.ok ? ((await answer.json()) as object[]) : undefined
    },
    more: () => ({ demo: { current: state.current, told: state.told.slice(0, MAX_TOLD) } }),
  })
  const server = createServer((request, response) => {
    page.handle(request, response).then(
      answered => {
        if (!answered) response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n')
      },
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${options.port}/`,
    async close() {
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
    },
  }
}
