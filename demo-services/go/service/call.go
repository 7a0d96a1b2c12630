package service

import (
	"io"
	"net/http"
	"strings"
)

// traceHeaders are what tracing and request matching travel in: B3 in one and several headers, W3C, Envoy's request id.
var traceHeaders = []string{
	"x-request-id", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
	"traceparent", "tracestate", "baggage",
}

// CopiedHeaders are the trace headers of r where COPY_HEADERS is set, else none: a service that copies nothing is what
// the sidecars' ledger is for.
func CopiedHeaders(r *http.Request) map[string]string {
	copied := map[string]string{}
	if Setting("COPY_HEADERS", "") == "" {
		return copied
	}
	for _, name := range traceHeaders {
		if values := r.Header.Values(name); len(values) > 0 {
			copied[name] = strings.Join(values, ",")
		}
	}
	return copied
}

func drain(body io.Reader) { _, _ = io.Copy(io.Discard, body) }
