/**
 * What the callee of a cluster is called in failure records (failure-origin.md, "Name of a callee"), as far as
 * configuration tells: `filter_metadata.hopwise.service` of the endpoint, then of the cluster, then the cluster's name.
 * The name that an authenticated peer proves goes before all of these; that is the caller's to apply.
 */
import { hopwiseMetadata } from '../config/hopwise-metadata.ts'
import type { Metadata } from '../config/schema/generated/types.ts'

/** `outbound|80||b.ns.svc.cluster.local`: direction, port, subset, host. */
const ISTIO_NAME = /^(?:outbound|inbound|inbound-vip|outbound_\.\d+_\._[^|]*)\|([^|]*)\|([^|]*)\|(.*)$/
/** `outbound_.80_._v1_.b.ns.svc.cluster.local`: the same without characters that DNS forbids. */
const ISTIO_DNS_NAME = /^(?:outbound|inbound)_\.\d+_\.[^.]*_\.(.+)$/
/** A Kubernetes service: name, namespace, `svc`, cluster domain. */
const KUBERNETES_HOST = /^([^.]+)\.([^.]+)\.svc(?:\..*)?$/

/** The service name of a cluster, never ''. */
export function serviceNameOf(clusterName: string, metadata: Metadata | undefined): string {
  const configured = hopwiseMetadata(metadata).service
  if (configured !== undefined && configured !== '') return configured
  const host = ISTIO_NAME.exec(clusterName)?.[3] ?? ISTIO_DNS_NAME.exec(clusterName)?.[1]
  // `inbound|8080||` names no host: it is the application itself, and its sidecar knows what that is called.
  if (host === undefined || host === '') return clusterName
  const kubernetes = KUBERNETES_HOST.exec(host)
  return kubernetes === null ? host : `${kubernetes[1]}.${kubernetes[2]}`
}
