package service

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

type connectionKey struct{}

// maxBody is what a service reads of a request; its sidecar lets less through.
const maxBody = 1 << 20

// work answers one request: nil is a success, an error becomes 502. The behaviour is the one the request met at its begin.
type work func(r *http.Request, ill Behaviour) error

// kept is memory that a fault makes a service hold on to.
var kept struct {
	sync.Mutex
	mib [][]byte
}

func keep(mib int) {
	kept.Lock()
	defer kept.Unlock()
	for range mib {
		// Not zero, so that the kernel has to give pages of its own.
		kept.mib = append(kept.mib, bytes.Repeat([]byte{1}, 1<<20))
	}
}

// Server answers requests the way the services of the demonstration do: JSON that names the service, after workMs and
// what do makes of it. It speaks HTTP/1.1 and, with h2c, HTTP/2 in plaintext on the same port.
func Server(name, address string, workMs time.Duration, h2c bool, do work) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(h2c)
	return &http.Server{
		Addr:      address,
		Protocols: protocols,
		// Longer than any sidecar keeps an idle connection: closing one just as it is used again looks like a failure.
		IdleTimeout: 0,
		ReadTimeout: 0,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, c)
		},
		Handler: handler(name, workMs, do),
	}
}

func handler(name string, workMs time.Duration, do work) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		status := 0
		defer func() { Count(status, began) }()
		drain(http.MaxBytesReader(w, r.Body, maxBody))
		ill := Now(r.URL.Path)
		if ill.Crash > 0 {
			crash(ill.Crash)
		}
		keep(ill.Memory)
		if ill.Hang {
			<-r.Context().Done()
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(workMs*time.Millisecond + time.Duration(ill.DelayMs)*time.Millisecond):
		}
		connection := r.Context().Value(connectionKey{}).(net.Conn)
		switch {
		case ill.Stall:
			begin(w)
			<-r.Context().Done()
			return
		case ill.Reset:
			reset(connection)
			return
		case ill.Close:
			connection.Close()
			return
		case ill.Garbage:
			_, _ = connection.Write([]byte("HTTP/1.1 two hundred\r\nthis is no header\r\n\r\n"))
			connection.Close()
			return
		}
		if err := do(r, ill); err != nil && !ill.Swallow {
			status = http.StatusBadGateway
			answer(w, status, name, err.Error())
			return
		}
		if ill.CutBody != "" {
			cutShort(w, ill.CutBody, connection)
			return
		}
		if ill.AnswerHeadBytes > 0 {
			w.Header().Set("x-ballast", strings.Repeat("x", ill.AnswerHeadBytes))
		}
		status = http.StatusOK
		problem := ""
		if ill.Status != 0 {
			status = ill.Status
			problem = "made to fail"
		}
		answer(w, status, name, problem)
	})
}

func answer(w http.ResponseWriter, status int, name, problem string) {
	body := map[string]string{"service": name}
	if problem != "" {
		body["error"] = problem
	}
	text, _ := json.Marshal(body)
	w.Header().Set("content-type", "application/json")
	w.Header().Set("content-length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// cutShort sends a head and a part of the body, which the other end sees before the connection goes.
func cutShort(w http.ResponseWriter, how string, connection net.Conn) {
	if how == "length" {
		w.Header().Set("content-length", "4096")
	}
	begin(w)
	time.Sleep(20 * time.Millisecond)
	reset(connection)
}

// begin sends the head and the first part of a good answer.
func begin(w http.ResponseWriter) {
	w.Header().Set("content-type", "text/plain")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(strings.Repeat("x", 1000)))
	_ = http.NewResponseController(w).Flush()
}

// reset ends a connection with RST instead of FIN.
func reset(connection net.Conn) {
	// Below TLS is the socket whose linger time decides.
	if inner, ok := connection.(interface{ NetConn() net.Conn }); ok {
		connection = inner.NetConn()
	}
	if socket, ok := connection.(*net.TCPConn); ok {
		_ = socket.SetLinger(0)
	}
	connection.Close()
}
