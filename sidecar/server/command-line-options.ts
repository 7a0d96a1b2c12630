/** `command_line_options` of `/server_info`: every field that Envoy prints, those without a meaning here at their default. */
import type { JsonRecord } from '../admin/server-control.ts'
import { listenerDrainMs } from './data-plane.ts'
import type { ServerOptions } from './options.ts'

/** Envoy: `--file-flush-interval-msec`. */
const FILE_FLUSH_MS = 10_000

export function commandLineOptions(options: ServerOptions): JsonRecord {
  return {
    base_id: '0',
    concurrency: options.concurrency,
    config_path: options.configPath ?? '',
    config_yaml: options.configYaml ?? '',
    // Unknown fields are always refused.
    allow_unknown_static_fields: false,
    admin_address_path: options.adminAddressPath ?? '',
    local_address_ip_version: 'v4',
    log_level: options.logLevel,
    component_log_level: options.componentLogLevel,
    log_format: options.logFormat ?? '',
    log_path: options.logPath ?? '',
    service_cluster: options.serviceCluster,
    service_node: options.serviceNode,
    service_zone: options.serviceZone,
    file_flush_interval: seconds(options.fileFlushIntervalMs ?? FILE_FLUSH_MS),
    drain_time: seconds(listenerDrainMs(options)),
    parent_shutdown_time: '900s',
    mode: options.mode === 'serve' ? 'Serve' : 'Validate',
    // The configuration is reloaded in place.
    disable_hot_restart: true,
    enable_mutex_tracing: false,
    restart_epoch: 0,
    cpuset_threads: false,
    reject_unknown_dynamic_fields: false,
    log_format_escaped: false,
    disabled_extensions: [],
    ignore_unknown_dynamic_fields: false,
    use_dynamic_base_id: false,
    base_id_path: '',
    drain_strategy: options.drainStrategy === 'gradual' ? 'Gradual' : 'Immediate',
    enable_fine_grain_logging: false,
    socket_path: '@envoy_domain_socket',
    socket_mode: 0,
    enable_core_dump: false,
    stats_tag: options.statsTags.map(({ tagName, fixedValue }) => `${tagName}:${fixedValue}`),
    skip_hot_restart_on_no_parent: false,
    skip_hot_restart_parent_stats: false,
    skip_deprecated_logs: false,
    file_flush_min_size: 0,
    log_stacktrace_single_entry: false,
  }
}

/** As proto JSON writes durations: `0.020s`, with three digits where there is a fraction. */
function seconds(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${(ms / 1000).toFixed(3)}s`
}
