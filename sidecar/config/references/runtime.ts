import type { LayeredRuntime } from '../schema/generated/types.ts'
import { lineOf, type Report } from './report.ts'

export function checkRuntime({ layers }: LayeredRuntime, report: Report): void {
  const byName = new Map<string, object>()
  let admin: object | undefined
  for (const layer of layers) {
    const earlier = byName.get(layer.name)
    if (earlier)
      report.error(layer, 'name', `the layer "${layer.name}" is there already, on ${lineOf(earlier)}`, 'duplicate')
    else byName.set(layer.name, layer)
    if (!layer.adminLayer) continue
    if (admin) report.error(layer, 'adminLayer', `there is an admin layer already, on ${lineOf(admin)}`, 'duplicate')
    else admin = layer
  }
}
