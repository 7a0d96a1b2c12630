// Command b takes HTTP and asks c over gRPC, through the egress listener of its own sidecar. It is not traced and copies
// no trace header unless COPY_HEADERS is set.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"hopwise.example/demo/chain"
	"hopwise.example/demo/service"
)

// patience is longer than the sidecar's: it is the sidecar that is to give up, and to say why.
const patience = 5 * time.Second

// More than a rate limit lets through at once; few enough at a time for every circuit breaker.
const (
	spreeCalls  = 60
	spreeAtOnce = 4
)

func main() {
	service.Main(func() error {
		egress := service.Setting("EGRESS", "127.0.0.1:15001")
		// `c` is whom the sidecar is asked for; the connection goes to the sidecar.
		connection, err := grpc.NewClient("passthrough:///"+egress, grpc.WithAuthority("c"),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			// Whoever tries again is the sidecar, which also says so.
			grpc.WithDisableRetry())
		if err != nil {
			return err
		}
		client := chain.NewChainClient(connection)
		plain := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: patience}
		work := func(r *http.Request, ill service.Behaviour) error {
			return callEverybody(r, ill, client, plain, egress)
		}
		return service.Server("b", "127.0.0.1:"+service.Setting("PORT", "8080"), 2, false, work).ListenAndServe()
	})
}

func callEverybody(r *http.Request, ill service.Behaviour, client chain.ChainClient, plain *http.Client, egress string) error {
	// The request ends when its caller has gone: what is still under way is of no more use.
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	headers := service.CopiedHeaders(r)
	for name, value := range ill.Headers {
		headers[name] = value
	}
	if ill.SendHeadBytes > 0 {
		headers["x-ballast"] = strings.Repeat("x", ill.SendHeadBytes)
	}
	// What is asked of others comes first: without it there is no use in asking c.
	switch host, path, _ := strings.Cut(ill.AlsoCall, "/"); {
	case ill.AlsoCall == "":
	case host == "c" && "/"+path == chain.Chain_Quote_FullMethodName:
		if _, err := client.Quote(outgoing(ctx, headers), &chain.WorkRequest{}); err != nil {
			return fmt.Errorf("c: %w", err)
		}
	case host == "c" && "/"+path == chain.Chain_Feed_FullMethodName:
		if err := readFeed(outgoing(ctx, headers), client); err != nil {
			return fmt.Errorf("c: %w", err)
		}
	default:
		if err := get(ctx, plain, egress, ill.AlsoCall, headers); err != nil {
			return err
		}
	}
	if ill.Upgrade != "" {
		asks := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
		maps.Copy(asks, headers)
		if err := get(ctx, plain, egress, ill.Upgrade, asks); err != nil {
			return err
		}
	}
	calls := []func() error{}
	for range max(1, ill.FanOut) {
		calls = append(calls, func() error { return askC(ctx, client, headers, ill) })
	}
	if ill.Spree != "" {
		for range spreeAtOnce {
			calls = append(calls, func() error {
				problems := []error{}
				for range spreeCalls / spreeAtOnce {
					problems = append(problems, get(ctx, plain, egress, ill.Spree, headers))
				}
				return errors.Join(problems...)
			})
		}
	}
	problems := make([]error, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { problems[i] = call() })
	}
	all.Wait()
	return errors.Join(problems...)
}

func askC(ctx context.Context, client chain.ChainClient, headers map[string]string, ill service.Behaviour) error {
	if ill.DeadlineMs > 0 {
		shorter, cancel := context.WithTimeout(ctx, time.Duration(ill.DeadlineMs)*time.Millisecond)
		defer cancel()
		ctx = shorter
	}
	_, err := client.Work(outgoing(ctx, headers), &chain.WorkRequest{Ballast: make([]byte, ill.SendBytes)})
	if err != nil {
		return fmt.Errorf("c: %w", err)
	}
	return nil
}

// readFeed reads c's feed to its end.
func readFeed(ctx context.Context, client chain.ChainClient) error {
	feed, err := client.Feed(ctx, &chain.WorkRequest{})
	for err == nil {
		_, err = feed.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func outgoing(ctx context.Context, headers map[string]string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.New(headers))
}

// get asks target, which is a host or a host and a path.
func get(ctx context.Context, client *http.Client, egress, target string, headers map[string]string) error {
	host, path, _ := strings.Cut(target, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+egress+"/"+path, nil)
	if err != nil {
		return err
	}
	request.Host = host
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", host, err)
	}
	// Only what was read to its end leaves a connection for the next call.
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %d", host, response.StatusCode)
	}
	return nil
}
