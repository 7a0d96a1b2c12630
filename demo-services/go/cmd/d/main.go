// Command d is the last service of the chain: it answers over HTTP/1.1 and HTTP/2 in plaintext, and calls nobody.
package main

import (
	"net/http"

	"hopwise.example/demo/service"
)

func main() {
	service.Main(func() error {
		nothingMore := func(*http.Request, service.Behaviour) error { return nil }
		name := service.Setting("NAME", "d")
		return service.Server(name, "127.0.0.1:"+service.Setting("PORT", "8080"), 3, true, nothingMore).ListenAndServe()
	})
}
