// Command outside is a site that is not part of the mesh: HTTPS with a certificate of another authority, for the one name
// it goes by. Requests that ask for another host get 421, so that a wrong SNI or Host shows. A second port lets nobody in.
package main

import (
	"net/http"
	"strconv"

	"hopwise.example/demo/service"
)

func main() {
	service.Main(func() error {
		host := service.Setting("HOST_NAME", "api.partner.example")
		folder := service.Setting("CERTIFICATES", "/identity")
		nothingMore := func(*http.Request, service.Behaviour) error { return nil }
		hole, err := strconv.Atoi(service.Setting("BLACK_HOLE_PORT", "8444"))
		if err != nil {
			return err
		}
		if err := service.BlackHole(hole); err != nil {
			return err
		}
		server := service.Server("outside", ":"+service.Setting("PORT", "8443"), 3, false, nothingMore)
		inner := server.Handler
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host != host || r.TLS.ServerName != host {
				http.Error(w, "no such site: host "+r.Host+", SNI "+r.TLS.ServerName, http.StatusMisdirectedRequest)
				return
			}
			inner.ServeHTTP(w, r)
		})
		return server.ListenAndServeTLS(folder+"/chain.pem", folder+"/key.pem")
	})
}
