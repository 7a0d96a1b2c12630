/**
 * An upstream closes an idle connection just when a request is sent on it: that is nobody's failure, and Envoy answers 503
 * (UC) all the same. Here the request is sent once more on a connection of its own, where doing it twice cannot hurt
 * (design.md). `filter_metadata.hopwise.retry_reused_connection` switches that off: of the route, else of the cluster, else
 * of the node.
 */

/** Methods that may be repeated without harm (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

interface Switch {
  readonly retryReusedConnection?: boolean | undefined
}

export function isKeepAliveRaceRetried(method: string, route: Switch, cluster: Switch, node: Switch): boolean {
  if (!IDEMPOTENT.has(method)) return false
  return (route.retryReusedConnection ?? cluster.retryReusedConnection ?? node.retryReusedConnection) !== false
}
