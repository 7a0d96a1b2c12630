/** `hopwise validate` and `hopwise schema`: output, formats, exit codes. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { test } from 'node:test'
import { schema } from '../../../sidecar/cli/schema.ts'
import { validate } from '../../../sidecar/cli/validate.ts'
import { config, extension } from './configs.ts'

const seed = (name: string) => join(import.meta.dirname, '..', '..', 'seed-configs', name)

async function run(command: typeof validate, args: string[], stdin = '') {
  const result = { code: 0, out: '', error: '' }
  result.code = await command(args, {
    out: text => {
      result.out += text
    },
    error: text => {
      result.error += text
    },
    stdin: async () => stdin,
    isTerminal: false,
    colours: false,
    errorColours: false,
  })
  return result
}

test('a good file is ok and exits 0, its warnings said', async () => {
  const { code, error } = await run(validate, [seed('003-first-proxy.yaml')])
  assert.equal(code, 0)
  assert.match(error, /003-first-proxy\.yaml:26:19: warning: /)
  assert.match(error, /003-first-proxy\.yaml: ok, 1 warning\n$/)
})

test('strict makes of the same warnings errors, and exits 1', async () => {
  const { code, error } = await run(validate, ['--strict', seed('003-first-proxy.yaml')])
  assert.equal(code, 1)
  assert.match(error, /: 1 error\n$/)
})

test('several files are all checked, and one bad one decides', async () => {
  const { code, error } = await run(validate, [seed('000-weighted-ab.fragment.yaml'), seed('003-first-proxy.yaml')])
  assert.equal(code, 1)
  assert.match(error, /000-weighted-ab\.fragment\.yaml: 2 errors\n/)
  assert.match(error, /003-first-proxy\.yaml: ok, 1 warning\n/)
})

test('a dash reads standard input', async () => {
  const { code, error } = await run(validate, ['-'], config({ cluster: 'lb_polcy: RANDOM' }))
  assert.equal(code, 1)
  assert.match(error, /^<stdin>:27:5: error: static_resources\.clusters\[0\]\.lb_polcy: unknown field/)
})

test('json is one document with every problem', async () => {
  const { out } = await run(validate, ['--json', '-'], config({ cluster: 'lb_polcy: RANDOM' }))
  const { ok, files } = JSON.parse(out) as { ok: boolean; files: { errors: { line: number; code: string }[] }[] }
  assert.equal(ok, false)
  assert.equal(files[0]!.errors[0]!.line, 27)
  assert.equal(files[0]!.errors[0]!.code, 'unknown-field')
})

test('github annotates file, line and column, with newlines and percent signs escaped', async () => {
  const { out } = await run(validate, ['--format=github', '-'], config({ cluster: 'lb_polcy: RANDOM' }))
  assert.match(out, /^::error file=<stdin>,line=27,col=5::static_resources\.clusters\[0\]\.lb_polcy: unknown field/)
})

test('quiet says errors only', async () => {
  const { code, error, out } = await run(validate, ['-q', seed('003-first-proxy.yaml')])
  assert.deepEqual({ code, error, out }, { code: 0, error: '', out: '' })
})

test('a wrong command line exits 2 with the usage', async () => {
  for (const args of [[], ['--format=xml', 'a'], ['--nonsense']]) {
    const { code, error } = await run(validate, args)
    assert.equal(code, 2)
    assert.match(error, /usage: hopwise validate/)
  }
  assert.equal((await run(validate, ['--help'])).code, 0)
  assert.equal((await run(schema, ['x'])).code, 2)
})

test('schema prints JSON', async () => {
  const { code, out } = await run(schema, [])
  assert.equal(code, 0)
  assert.match((JSON.parse(out) as { $schema: string }).$schema, /draft-07/)
})

const log = (more: string) => extension('access_loggers.stream.v3.StdoutAccessLog', more)
/** Mistakes of every stage: of decoding (lines 13 and 38), of references (33), and of building the rest. */
const wrongEverywhere = config({
  manager: `generate_request_i: true
          access_log:
          - {name: stdout, typed_config: ${log(', log_format: {text_format_source: {inline_string: "%NONSENSE%"}}')}}
          - name: stdout
            filter: {header_filter: {header: {name: x-a, string_match: {safe_regex: {regex: "("}}}}}
            typed_config: ${log('')}
          tracing:
            provider: {name: o, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig}}
          local_reply_config:
            mappers:
            - filter: {not_health_check_filter: {}}
              body: {filename: /nowhere}
            body_format: {text_format: "%NONSENSE%"}`,
  virtualHost: 'request_headers_to_add: [{header: {key: x-a, value: "%NONSENSE%"}}]',
  route: '{cluster: c, prefix_rewrite: /, request_mirror_policies: [{cluster: d}]}',
  filters: `
          - name: mutation
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              mutation: {}
              mutations:
                request_mutations:
                - {append: {header: {key: x-a, value: "%NONSENSE%"}}}
                - {append: {header: {key: ":path", value: x}}}
          - {name: last, typed_config: ${extension('filters.http.cors.v3.Cors')}}`,
  cluster: 'outlier_detection: {}',
})
const inManager = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config'

test('mistakes of decoding, references and building come in one round, each with its whole path and place', async () => {
  const { error } = await run(validate, ['-'], wrongEverywhere)
  assert.deepEqual(error.replaceAll(`${inManager}.`, '… ').replaceAll('<stdin>:', '').trimEnd().split('\n'), [
    '13:11: error: … generate_request_i: unknown field, did you mean "generate_request_id"?',
    '15:144: error: … access_log[0].typed_config.log_format.text_format_source: Not supported field in StreamInfo: NONSENSE (column 1)',
    '17:86: error: … access_log[1].filter.header_filter.header.string_match.safe_regex.regex: is no valid RE2 expression: missing closing ): `(`',
    '20:47: error: … tracing.provider.typed_config.http_service: is required: spans go out by OTLP over HTTP',
    "24:22: error: … local_reply_config.mappers[0].body.filename: ENOENT: no such file or directory, open '/nowhere'",
    '25:26: error: … local_reply_config.body_format: Not supported field in StreamInfo: NONSENSE (column 1)',
    '25:27: warning: … local_reply_config.body_format.text_format: is deprecated in Envoy; it still works',
    '30:60: error: … route_config.virtual_hosts[0].request_headers_to_add[0].header.value: Not supported field in StreamInfo: NONSENSE (column 1)',
    '33:83: error: … route_config.virtual_hosts[0].routes[0].route.request_mirror_policies[0].cluster: unknown shadow cluster "d", did you mean "c"?',
    '38:15: error: … http_filters[0].typed_config.mutation: unknown field, did you mean "mutations"?',
    '41:48: error: … http_filters[0].typed_config.mutations.request_mutations[0].append.header.value: Not supported field in StreamInfo: NONSENSE',
    '42:38: error: … http_filters[0].typed_config.mutations.request_mutations[1].append.header.key: :-prefixed or host headers may not be modified',
    '43:14: error: … http_filters[1].name: "last" cannot be the last filter, since it passes everything on; add envoy.filters.http.router after it',
    '48:5: warning: static_resources.clusters[0].outlier_detection: cluster "c": max_ejection_percent 10 % of 1 host ejects nobody; set max_ejection_percent to 100 or more, or always_eject_one_host: true',
    ' 12 errors, 2 warnings',
  ])
})

test('what is likely wrong, but only building finds it, is told: text, JSON, strict and not', async () => {
  const input = config({
    route: '{cluster: c, hash_policy: [{filter_state: {key: k}}]}',
    type: 'LOGICAL_DNS',
    cluster: 'outlier_detection: {}',
  })
  const { code, error } = await run(validate, ['--strict', '-'], input)
  assert.equal(code, 0)
  assert.deepEqual(error.trimEnd().split('\n'), [
    `<stdin>:21:52: warning: ${inManager}.route_config.virtual_hosts[0].routes[0].route.hash_policy[0].filter_state: no filter sets filter state yet: this policy gives no hash`,
    '<stdin>:27:5: warning: static_resources.clusters[0].outlier_detection: cluster "c": max_ejection_percent 10 % of 1 host ejects nobody; set max_ejection_percent to 100 or more, or always_eject_one_host: true',
    '<stdin>: ok, 2 warnings',
  ])
  const { out } = await run(validate, ['--json', '-'], input)
  const { files } = JSON.parse(out) as { files: { ok: boolean; warnings: { code: string; line: number }[] }[] }
  assert.deepEqual(
    files.map(({ ok, warnings }) => [ok, warnings.map(one => [one.code, one.line])]),
    [
      [
        true,
        [
          ['advice', 21],
          ['advice', 27],
        ],
      ],
    ],
  )
})
