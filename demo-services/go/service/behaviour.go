// Package service is what the Go services of the demonstration share: faults that can be set at run time, the ops port,
// and a supervisor that starts a crashed service again.
package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

// Behaviour says how a service misbehaves. Its JSON is that of the Node services (demo-services/behaviour.ts); the zero
// value is a service that is well.
type Behaviour struct {
	// Path limits it to requests whose path begins so.
	Path string `json:"path,omitempty"`
	// Status answers with this status, after the service's own calls went well.
	Status  int   `json:"status,omitempty"`
	DelayMs int64 `json:"delayMs,omitempty"`
	// Hang takes requests and never answers.
	Hang bool `json:"hang,omitempty"`
	// Stall begins an answer and then says nothing more.
	Stall bool `json:"stall,omitempty"`
	// Reset answers by resetting the connection (RST), Close by closing it (FIN).
	Reset bool `json:"reset,omitempty"`
	Close bool `json:"close,omitempty"`
	// Garbage answers what is no HTTP.
	Garbage bool `json:"garbage,omitempty"`
	// CutBody breaks off in the middle of a body with Content-Length ("length") or without ("chunked").
	CutBody string `json:"cutBody,omitempty"`
	// Swallow answers 200 whatever the service's calls came to.
	Swallow bool `json:"swallow,omitempty"`
	// SendBytes makes its calls carry a body of this size, FanOut makes so many of them at once.
	SendBytes int `json:"sendBytes,omitempty"`
	FanOut    int `json:"fanOut,omitempty"`
	// SendHeadBytes is the size of a header of its calls, AnswerHeadBytes that of one of its answers.
	SendHeadBytes   int `json:"sendHeadBytes,omitempty"`
	AnswerHeadBytes int `json:"answerHeadBytes,omitempty"`
	// AlsoCall names a host that is called as well, with a path or without; a method of gRPC if that is one.
	AlsoCall string `json:"alsoCall,omitempty"`
	// Spree names one that is called many times, a few at a time; Upgrade one that is asked for a WebSocket.
	Spree   string `json:"spree,omitempty"`
	Upgrade string `json:"upgrade,omitempty"`
	// DeadlineMs is what calls over gRPC are given, who is called being told.
	DeadlineMs int64             `json:"deadlineMs,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	// Crash ends the process at the next request; the supervisor starts it again after this many milliseconds.
	Crash int64 `json:"crash,omitempty"`
	// Memory keeps this many MiB more with every request.
	Memory int `json:"memory,omitempty"`
}

var behaviour atomic.Pointer[Behaviour]

// Now is how the service is to behave towards a request for path.
func Now(path string) Behaviour {
	set := behaviour.Load()
	if set == nil || !strings.HasPrefix(path, set.Path) {
		return Behaviour{}
	}
	return *set
}

// parseBehaviour refuses settings it does not know: one that is misspelt would look like a fault that has no effect.
func parseBehaviour(text []byte) (*Behaviour, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return &Behaviour{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	parsed := &Behaviour{}
	if err := decoder.Decode(parsed); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("one object is wanted")
	}
	if parsed.CutBody != "" && parsed.CutBody != "length" && parsed.CutBody != "chunked" {
		return nil, fmt.Errorf("cutBody must be length or chunked")
	}
	return parsed, nil
}
