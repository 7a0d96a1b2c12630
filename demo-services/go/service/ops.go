package service

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"time"
)

// requestCounts is http_requests_total by status, and the time requests took.
var requestCounts struct {
	sync.Mutex
	byStatus map[int]uint64
	seconds  float64
	count    uint64
}

// Count adds one request that was answered with status (0: not at all) after the time since began.
func Count(status int, began time.Time) {
	requestCounts.Lock()
	defer requestCounts.Unlock()
	if requestCounts.byStatus == nil {
		requestCounts.byStatus = map[int]uint64{}
	}
	requestCounts.byStatus[status]++
	requestCounts.seconds += time.Since(began).Seconds()
	requestCounts.count++
}

func metrics(out io.Writer) {
	requestCounts.Lock()
	defer requestCounts.Unlock()
	statuses := make([]int, 0, len(requestCounts.byStatus))
	for status := range requestCounts.byStatus {
		statuses = append(statuses, status)
	}
	sort.Ints(statuses)
	fmt.Fprint(out, "# HELP http_requests_total Requests by status\n# TYPE http_requests_total counter\n")
	for _, status := range statuses {
		fmt.Fprintf(out, "http_requests_total{status=\"%d\"} %d\n", status, requestCounts.byStatus[status])
	}
	fmt.Fprint(out, "# HELP http_request_duration_seconds Time from request to answer\n")
	fmt.Fprint(out, "# TYPE http_request_duration_seconds summary\n")
	fmt.Fprintf(out, "http_request_duration_seconds_sum %s\n", strconv.FormatFloat(requestCounts.seconds, 'g', -1, 64))
	fmt.Fprintf(out, "http_request_duration_seconds_count %d\n", requestCounts.count)
}

// opsHandler serves GET /ready, GET /metrics (Prometheus) and GET or POST /control (a Behaviour as JSON).
func opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/plain; version=0.0.4; charset=utf-8")
		metrics(w)
	})
	mux.HandleFunc("GET /control", func(w http.ResponseWriter, _ *http.Request) { showBehaviour(w) })
	mux.HandleFunc("POST /control", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64*1024))
		var parsed *Behaviour
		if err == nil {
			parsed, err = parseBehaviour(text)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		behaviour.Store(parsed)
		showBehaviour(w)
	})
	return mux
}

func showBehaviour(w http.ResponseWriter) {
	set := behaviour.Load()
	if set == nil {
		set = &Behaviour{}
	}
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(set)
}
