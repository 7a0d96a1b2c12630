/** Hopwise's own settings in metadata: read where they belong, reported where they are wrong. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { hopwiseMetadata, nodeHopwiseSettings } from '../../../sidecar/config/hopwise-metadata.ts'
import { assignment, clusterOf, errorsOf, listenerOf, loadOk } from './configs.ts'

const onListener = (settings: string) => ({ listener: `metadata: {filter_metadata: {hopwise: ${settings}}}` })
const onCluster = (settings: string) => ({ cluster: `metadata: {filter_metadata: {hopwise: ${settings}}}` })

test('settings are read from listener, cluster, endpoint and node', () => {
  const listener = listenerOf(
    loadOk(onListener('{service: a, direction: inbound, edge: on, trusted_peers: [10.0.0.0/8], bodies: human}')),
  )
  const { service, direction, edge, trustedPeers, bodies, deadlines } = hopwiseMetadata(listener.metadata)
  assert.deepEqual(
    { service, direction, edge, trustedPeers, bodies, deadlines },
    {
      service: 'a',
      direction: 'INBOUND',
      edge: true,
      trustedPeers: ['10.0.0.0/8'],
      bodies: 'human',
      deadlines: undefined,
    },
  )
  const cluster = clusterOf(loadOk(onCluster('{external: true, deadlines: off, budget_margin_percent: 2.5}')))
  assert.equal(hopwiseMetadata(cluster.metadata).external, true)
  assert.equal(hopwiseMetadata(cluster.metadata).deadlines, false)
  assert.equal(hopwiseMetadata(cluster.metadata).budgetMarginPercent, 2.5)
  const withEndpoint = assignment('127.0.0.1').replace(
    '{endpoint:',
    '{metadata: {filter_metadata: {hopwise: {service: d}}}, endpoint:',
  )
  const endpoint = clusterOf(loadOk({ endpoints: withEndpoint })).loadAssignment!.endpoints[0]!.lbEndpoints[0]!
  assert.equal(hopwiseMetadata(endpoint.metadata).service, 'd')
  const { node } = loadOk({ node: '{id: i, cluster: c, metadata: {hopwise: {deadlines: off}}}' })
  assert.equal(nodeHopwiseSettings(node!.metadata).deadlines, false)
})

test('without metadata every setting is undefined', () => {
  assert.ok(Object.values(hopwiseMetadata(undefined)).every(value => value === undefined))
})

test('an unknown setting names the nearest', () => {
  assert.deepEqual(errorsOf(onListener('{servce: a}')), ['hopwise.servce unknown setting, did you mean "service"?'])
})

test('a setting out of place says where it belongs', () => {
  assert.deepEqual(errorsOf(onCluster('{edge: on}')), [
    'hopwise.edge means nothing on a cluster; it belongs on a listener',
  ])
})

test('a wrong value says what it must be', () => {
  assert.match(
    errorsOf(onListener('{trusted_peers: [10.0.0.0/33]}'))[0]!,
    /must be a list of CIDRs such as 10\.0\.0\.0\/8/,
  )
  assert.match(errorsOf(onListener('{direction: sideways}'))[0]!, /must be INBOUND or OUTBOUND, not "sideways"/)
  assert.match(errorsOf(onListener('{service: "No Spaces"}'))[0]!, /must be a name of up to 128/)
  assert.match(errorsOf(onCluster('{deadlines: maybe}'))[0]!, /must be on or off, not "maybe"/)
  assert.match(errorsOf(onCluster('{budget_margin_ms: -1}'))[0]!, /must be a number from 0 to 60000/)
  assert.match(errorsOf(onCluster('[a]'))[0] ?? '', /must be a mapping/)
})

test('an empty list of trusted peers is not the same as none', () => {
  assert.deepEqual(hopwiseMetadata(listenerOf(loadOk(onListener('{trusted_peers: []}'))).metadata).trustedPeers, [])
})
