package service

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	superviseVariable = "DEMO_SUPERVISED"
	// restartAfter is how long a service that ended by itself stays away.
	restartAfter = time.Second
)

// Main runs serve and never returns. Called as `<program> health` it asks the ops port of the service beside it instead.
//
// The container's first process only supervises: a service that crashes, or that the kernel ends for want of memory, is
// started again, while the container and the network namespace that its sidecar shares stay.
func Main(serve func() error) {
	if len(os.Args) > 1 && os.Args[1] == "health" {
		os.Exit(health())
	}
	if os.Getenv(superviseVariable) == "" {
		os.Exit(supervise())
	}
	ops := &http.Server{Addr: ":" + Setting("OPS_PORT", "8081"), Handler: opsHandler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- ops.ListenAndServe() }()
	go func() { failed <- serve() }()
	fmt.Fprintln(os.Stderr, <-failed)
	os.Exit(1)
}

// Setting is the value of an environment variable, or what stands for it where it is not set.
func Setting(name, otherwise string) string {
	if value, set := os.LookupEnv(name); set {
		return value
	}
	return otherwise
}

// downFile carries, across a crash, how long the service is to stay away (milliseconds).
func downFile() string { return os.TempDir() + "/down-ms" }

func supervise() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	_ = os.Remove(downFile())
	for {
		child := exec.Command("/proc/self/exe", os.Args[1:]...)
		child.Args[0] = os.Args[0]
		child.Env = append(os.Environ(), superviseVariable+"=1")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		select {
		case <-signals:
			_ = child.Process.Kill()
			<-ended
			return 0
		case err := <-ended:
			away := downTime()
			fmt.Fprintf(os.Stderr, "ended (%v), starts again in %v\n", reason(err), away)
			select {
			case <-signals:
				return 0
			case <-time.After(away):
			}
		}
	}
}

func reason(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.String()
	}
	return "exit status 0"
}

func downTime() time.Duration {
	text, err := os.ReadFile(downFile())
	_ = os.Remove(downFile())
	ms, wrong := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || wrong != nil || ms <= 0 {
		return restartAfter
	}
	return time.Duration(ms) * time.Millisecond
}

func crash(downMs int64) {
	_ = os.WriteFile(downFile(), []byte(strconv.FormatInt(downMs, 10)), 0o600)
	os.Exit(1)
}

func health() int {
	client := &http.Client{Timeout: 2 * time.Second}
	response, err := client.Get("http://127.0.0.1:" + Setting("OPS_PORT", "8081") + "/ready")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
	fmt.Print(string(body))
	if response.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}
