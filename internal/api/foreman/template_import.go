package foreman

func (s *server) importTemplate(*call) (answer, error) {
	return answer{}, unprocessable("not available yet")
}

func (s *server) exportTemplate(*call) (answer, error) {
	return answer{}, unprocessable("not available yet")
}
