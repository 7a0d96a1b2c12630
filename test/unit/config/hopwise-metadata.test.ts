/** Hopwise's own settings in metadata: read where they belong, reported where they are wrong. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { hopwiseMetadata, nodeHopwiseSettings } from '../../../sidecar/config/hopwise-metadata.ts'
import { assignment, clusterOf, errorsOf, listenerOf, loadOk } from './configs.ts'

const onListener = (settings: string) => ({ listener: `metadata: {filter_metadata: {hopwise: ${settings}}}` })
const onNode = (settings: string) => ({ node: `{id: i, cluster: c, metadata: {hopwise: ${settings}}}` })
const onCluster = (settings: string) => ({ cluster: `metadata: {filter_metadata: {hopwise: ${settings}}}` })

test('settings are read from listener, cluster, endpoint and node', () => {
  const listener = listenerOf(loadOk(onListener('{direction: inbound, edge: on, bodies: human}')))
  const { direction, edge, bodies, deadlines } = hopwiseMetadata(listener.metadata)
  assert.deepEqual(
    { direction, edge, bodies, deadlines },
    { direction: 'INBOUND', edge: true, bodies: 'human', deadlines: undefined },
  )
  const cluster = clusterOf(loadOk(onCluster('{external: true, service: b}')))
  assert.equal(hopwiseMetadata(cluster.metadata).external, true)
  assert.equal(hopwiseMetadata(cluster.metadata).service, 'b')
  const withEndpoint = assignment('127.0.0.1').replace(
    '{endpoint:',
    '{metadata: {filter_metadata: {hopwise: {service: d}}}, endpoint:',
  )
  const endpoint = clusterOf(loadOk({ endpoints: withEndpoint })).loadAssignment!.endpoints[0]!.lbEndpoints[0]!
  assert.equal(hopwiseMetadata(endpoint.metadata).service, 'd')
  const settings = '{deadlines: off, trusted_peers: [10.0.0.0/8], trust_domains: [other], budget_margin_percent: 2.5}'
  const { node } = loadOk(onNode(settings))
  const { deadlines: ofNode, trustedPeers, trustDomains, budgetMarginPercent } = nodeHopwiseSettings(node!.metadata)
  assert.deepEqual([ofNode, trustedPeers, trustDomains, budgetMarginPercent], [false, ['10.0.0.0/8'], ['other'], 2.5])
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
  // One ledger for all: who is believed, and how time is divided, is the sidecar's matter.
  assert.deepEqual(errorsOf(onCluster('{deadlines: off}')), [
    'hopwise.deadlines means nothing on a cluster; it belongs on a node',
  ])
})

test('a wrong value says what it must be', () => {
  assert.match(errorsOf(onNode('{trusted_peers: [10.0.0.0/33]}'))[0]!, /must be a list of CIDRs such as 10\.0\.0\.0\/8/)
  assert.match(errorsOf(onNode('{trust_domains: ["spiffe://other"]}'))[0]!, /must be a list of SPIFFE trust domains/)
  assert.match(errorsOf(onListener('{direction: sideways}'))[0]!, /must be INBOUND or OUTBOUND, not "sideways"/)
  assert.match(errorsOf(onCluster('{service: "No Spaces"}'))[0]!, /must be a name of up to 128/)
  assert.match(errorsOf(onNode('{deadlines: maybe}'))[0]!, /must be on or off, not "maybe"/)
  assert.match(errorsOf(onNode('{budget_margin_ms: -1}'))[0]!, /must be a number from 0 to 60000/)
  assert.match(errorsOf(onCluster('[a]'))[0] ?? '', /must be a mapping/)
})

test('an empty list of trusted peers is not the same as none', () => {
  assert.deepEqual(nodeHopwiseSettings(loadOk(onNode('{trusted_peers: []}')).node!.metadata).trustedPeers, [])
})
