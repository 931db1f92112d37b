package console

// wireKeys is what is told of the keyset.
type wireKeys struct {
	Keys int `json:"keys"`
}

// rotateKeys adds a key to the keyset that seals secrets.
func (s *server) rotateKeys(c call) (answer, error) {
	n, err := s.Dispatch.RotateKeys(c.Context(), c.p)
	return answer{body: wireKeys{n}}, err
}
