/** Stand-in until the real one is here: watches nothing. */
import type { StatsScope } from '../observability/stats.ts'
import type { Host } from '../upstream/host.ts'
import type { RunningHost } from '../upstream/running-host.ts'
import type { OutlierReporter } from './cluster.ts'
import type { ClusterSettings } from './cluster-settings.ts'

export class OutlierDetector implements OutlierReporter {
  constructor(
    _settings: ClusterSettings,
    _scope: StatsScope,
    _environment: unknown,
    _hosts: { hosts: () => readonly RunningHost[]; onHealthChange: (host: RunningHost) => void },
  ) {}
  readonly successRate = { average: -1, ejectionThreshold: -1 }
  readonly localOriginSuccessRate = { average: -1, ejectionThreshold: -1 }
  successRateOf(_host: Host): number {
    return -1
  }
  localOriginSuccessRateOf(_host: Host): number {
    return -1
  }
  configure(_settings: ClusterSettings): void {}
  watch(_host: RunningHost): void {}
  forget(_host: RunningHost): void {}
  close(): void {}
  onResponse(_host: Host, _status: number): void {}
  onLocalOriginFailure(_host: Host, _kind: 'connect_failed' | 'timeout' | 'reset'): void {}
  onLocalOriginSuccess(_host: Host): void {}
}
