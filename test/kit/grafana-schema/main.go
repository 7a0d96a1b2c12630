// Reads dashboards as strictly as Grafana's own schema allows: a field that it does not know, one that is missing or one of
// another type is told, one line each. Exit code 1 when there is any.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	code := 0
	for _, file := range os.Args[1:] {
		data, err := os.ReadFile(file)
		if err == nil {
			var read dashboard.Dashboard
			err = read.UnmarshalJSONStrict(data)
			// Without a mistake the error is an empty list of them, and not nil.
			if err == nil || err.Error() == "" {
				err = read.Validate()
			}
		}
		if err == nil || err.Error() == "" {
			continue
		}
		code = 1
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Printf("%s: %s\n", file, line)
		}
	}
	os.Exit(code)
}
