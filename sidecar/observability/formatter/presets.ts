/** Formats by name, for access logs that only want the lines of a known program. */

/** Envoy's default line. */
export const ENVOY_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'

/** Istio's `accessLogFile` default (`EnvoyTextLogFormat`). */
const ISTIO_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n'

/** Apache's combined log. */
const APACHE_FORMAT =
  '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% - - [%START_TIME(%d/%b/%Y:%H:%M:%S %z)%] "%REQ(:METHOD)% ' +
  '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %BYTES_SENT% "%REQ(REFERER)%" "%REQ(USER-AGENT)%"\n'

/** What one looks for first, with where a failure began. */
const JSON_FORMAT = {
  time: '%START_TIME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  authority: '%REQ(:AUTHORITY)%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  route_name: '%ROUTE_NAME%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  trace_id: '%TRACE_ID%',
  grpc_status: '%GRPC_STATUS%',
  failure_origin: '%FAILURE(ORIGIN)%',
  failure_cause: '%FAILURE(CAUSE)%',
  failure_path: '%FAILURE(PATH)%',
}

/** Elastic Common Schema. Its durations are nanoseconds. */
const ECS_FORMAT = {
  '@timestamp': '%START_TIME%',
  ecs: { version: '8.11.0' },
  event: {
    kind: 'event',
    category: ['web'],
    dataset: 'hopwise.access',
    duration: '%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%',
  },
  source: { ip: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', port: '%DOWNSTREAM_REMOTE_PORT%' },
  destination: { address: '%UPSTREAM_HOST%' },
  http: {
    version: '%PROTOCOL%',
    request: {
      method: '%REQ(:METHOD)%',
      id: '%REQ(X-REQUEST-ID)%',
      referrer: '%REQ(REFERER)%',
      body: { bytes: '%BYTES_RECEIVED%' },
    },
    response: { status_code: '%RESPONSE_CODE%', body: { bytes: '%BYTES_SENT%' } },
  },
  url: { domain: '%REQ(:AUTHORITY)%', path: '%PATH(NQ)%', query: '%QUERY_PARAMS%', scheme: '%REQ(:SCHEME)%' },
  user_agent: { original: '%REQ(USER-AGENT)%' },
  trace: { id: '%TRACE_ID%' },
  span: { id: '%SPAN_ID%' },
  error: { type: '%FAILURE(CAUSE)%', message: '%RESPONSE_CODE_DETAILS%' },
  labels: { response_flags: '%RESPONSE_FLAGS%', failure_origin: '%FAILURE(ORIGIN)%' },
}

export type FormatPreset =
  | { readonly text: string }
  | { readonly json: Readonly<Record<string, unknown>>; readonly omitEmptyValues: boolean }

export const FORMAT_PRESETS: Readonly<Record<string, FormatPreset>> = {
  envoy: { text: ENVOY_FORMAT },
  istio: { text: ISTIO_FORMAT },
  apache: { text: APACHE_FORMAT },
  json: { json: JSON_FORMAT, omitEmptyValues: false },
  ecs: { json: ECS_FORMAT, omitEmptyValues: true },
}
