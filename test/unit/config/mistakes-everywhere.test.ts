/** All mistakes at once: no builder stops at its first, and each mistake has its whole path and its place. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { validate } from '../../../sidecar/cli/validate.ts'

const file = join(import.meta.dirname, 'mistakes-everywhere.yaml')
const CHAIN = 'static_resources.listeners[0].filter_chains[0]'
const SHORT: readonly (readonly [string, string])[] = [
  [`${CHAIN}.filters[0].typed_config`, 'manager'],
  [CHAIN, 'chain'],
  ['static_resources.clusters[0]', 'cluster'],
  ['typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]', 'OPTIONS'],
]

const EXPECTED = [
  '3:57 layered_runtime.layers[1].name',
  '3:66 layered_runtime.layers[1].admin_layer',
  '3:94 layered_runtime.layers[2].static_layer',
  '13:40 chain.transport_socket.typed_config.session_ticket_keys.keys[0]',
  '13:64 chain.transport_socket.typed_config.session_ticket_keys.keys[1]',
  '15:13 chain.transport_socket.typed_config.common_tls_context.tls_params',
  '15:104 chain.transport_socket.typed_config.common_tls_context.tls_params.cipher_suites',
  '17:16 chain.transport_socket.typed_config.common_tls_context.tls_certificates[0].certificate_chain',
  '17:59 chain.transport_socket.typed_config.common_tls_context.tls_certificates[0].private_key',
  '18:15 chain.transport_socket.typed_config.common_tls_context.tls_certificates[1].private_key',
  '18:16 chain.transport_socket.typed_config.common_tls_context.tls_certificates[1].certificate_chain',
  '20:15 chain.transport_socket.typed_config.common_tls_context.validation_context.trusted_ca',
  '21:15 chain.transport_socket.typed_config.common_tls_context.validation_context.crl',
  '23:28 chain.transport_socket.typed_config.common_tls_context.validation_context.match_typed_subject_alt_names[0].san_type',
  '23:40 chain.transport_socket.typed_config.common_tls_context.validation_context.match_typed_subject_alt_names[0].oid',
  '24:56 chain.transport_socket.typed_config.common_tls_context.validation_context.match_typed_subject_alt_names[1].matcher.safe_regex.regex',
  '30:35 manager.http_protocol_options.allow_absolute_url',
  '33:15 manager.http2_protocol_options.custom_settings_parameters[0]',
  '34:15 manager.http2_protocol_options.custom_settings_parameters[1]',
  '36:15 manager.http2_protocol_options.custom_settings_parameters[3]',
  '39:11 manager.original_ip_detection_extensions',
  '39:11 manager.original_ip_detection_extensions',
  '47:36 manager.early_header_mutation_extensions[0].typed_config.mutations[0].append.header.key',
  '48:44 manager.early_header_mutation_extensions[0].typed_config.mutations[1].append.header.value',
  '54:84 manager.access_log[0].filter.and_filter.filters[0].header_filter.header.string_match.safe_regex.regex',
  '55:84 manager.access_log[0].filter.and_filter.filters[1].header_filter.header.string_match.safe_regex.regex',
  '58:28 manager.access_log[0].typed_config.log_format.text_format_source',
  '60:13 manager.tracing.operation',
  '61:13 manager.tracing.upstream_operation',
  '62:36 manager.tracing.custom_tags[0].value',
  '62:67 manager.tracing.custom_tags[1].value',
  '63:47 manager.tracing.provider.typed_config.http_service',
  '66:88 manager.local_reply_config.mappers[0].filter.header_filter.header.string_match.safe_regex.regex',
  '67:22 manager.local_reply_config.mappers[0].body.filename',
  '68:42 manager.local_reply_config.mappers[0].headers_to_add[0].header.key',
  '69:37 manager.local_reply_config.mappers[0].body_format_override',
  '70:26 manager.local_reply_config.body_format',
  '75:50 manager.route_config.virtual_hosts[0].request_headers_to_add[0].header.key',
  '75:94 manager.route_config.virtual_hosts[0].request_headers_to_add[1].header.value',
  '79:19 manager.route_config.virtual_hosts[0].routes[0].tracing.operation',
  '80:19 manager.route_config.virtual_hosts[0].routes[0].tracing.upstream_operation',
  '81:42 manager.route_config.virtual_hosts[0].routes[0].tracing.custom_tags[0].value',
  '81:73 manager.route_config.virtual_hosts[0].routes[0].tracing.custom_tags[1].value',
  '87:22 manager.http_filters[0].typed_config.delay',
  '88:65 manager.http_filters[0].typed_config.headers[0].string_match.safe_regex.regex',
  '93:15 manager.http_filters[1].typed_config.cache_time',
  '94:65 manager.http_filters[1].typed_config.headers[0].string_match.safe_regex.regex',
  '94:120 manager.http_filters[1].typed_config.headers[1].string_match.safe_regex.regex',
  '107:31 cluster.transport_socket.typed_config.common_tls_context.tls_certificates[0].certificate_chain',
  '107:74 cluster.transport_socket.typed_config.common_tls_context.tls_certificates[0].private_key',
  '108:32 cluster.transport_socket.typed_config.common_tls_context.validation_context.trusted_ca',
  '115:15 cluster.OPTIONS.explicit_http_config.http2_protocol_options.custom_settings_parameters[0]',
  '116:15 cluster.OPTIONS.explicit_http_config.http2_protocol_options.custom_settings_parameters[1]',
]

test('each mistake of a file that is wrong in every part is told, by its whole path, at its line and column', async () => {
  let out = ''
  const code = await validate(['--json', file], {
    out: text => {
      out += text
    },
    error: () => {},
    stdin: async () => '',
    isTerminal: false,
    colours: false,
    errorColours: false,
  })
  assert.equal(code, 1)
  const { files } = JSON.parse(out) as {
    files: readonly { errors: readonly { line: number; column: number; path: string }[] }[]
  }
  const found = files[0]!.errors.map(({ line, column, path }) => {
    const short = SHORT.reduce((text, [long, name]) => text.replace(long, name), path)
    return `${line}:${column} ${short}`
  })
  assert.deepEqual(found, EXPECTED)
})
