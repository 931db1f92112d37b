package console

import (
	_ "embed"
	"net/http"
)

// openAPI describes the API. A test holds it to the routes, and what they
// answer to it.
//
//go:embed openapi.json
var openAPI []byte

func (s *server) document(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, encoded(openAPI))
}
