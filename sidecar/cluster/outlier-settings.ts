import type { ClusterSettings } from './cluster-settings.ts'
export function ejectionWarnings(_settings: ClusterSettings): string[] {
  return []
}
