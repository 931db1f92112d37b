package console

import (
	"net/http"
)

// backup streams a backup of the whole installation. An answer that breaks off has no end: the
// connection is cut, and a client sees that the archive is not whole.
func (s *server) backup(c call) (answer, error) {
	w := &lateHeader{w: c.w}
	err := s.Dispatch.Backup(c.Context(), c.p, w, s.Backup)
	switch {
	case err == nil:
		_, err = w.Write(nil)
		return answer{}, firstOf(err, errAnswered)
	case !w.begun:
		return answer{}, err
	}
	s.Log.ErrorContext(c.Context(), "backup broke off", "err", err)
	panic(http.ErrAbortHandler)
}

func firstOf(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// lateHeader sends the header with the first byte, so that a backup which fails
// at once can still be answered with an error.
type lateHeader struct {
	w     http.ResponseWriter
	begun bool
}

// Write sends p.
func (l *lateHeader) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-tar")
		l.w.Header().Set("Cache-Control", "no-store")
		l.w.WriteHeader(http.StatusOK)
	}
	return l.w.Write(p)
}
