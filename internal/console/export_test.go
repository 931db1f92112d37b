package console

// Operations lists the operations of the API as "METHOD path" with their query
// parameters.
func Operations() map[string][]string {
	ops := map[string][]string{"GET /healthz": nil, "GET " + prefix + "openapi.json": nil}
	for _, r := range routes() {
		ops[r.method+" "+r.path] = r.query
	}
	return ops
}

// Shown is the message that a caller gets of an error.
func Shown(err error) string { return shown(err).Message }
