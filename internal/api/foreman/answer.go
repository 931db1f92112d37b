package foreman

import (
	"bytes"
	"encoding/json"
	"net/http"

	"drover/internal/api"
	"drover/internal/job"
)

// answer is what a handler gives back.
type answer struct {
	status int
	body   any
	texts  *api.Texts // parts of body that may be cut when it is too large; may be nil

	file string // when set, body is a string that is answered as a text file of this name
}

func ok(body any) answer      { return answer{status: http.StatusOK, body: body} }
func created(body any) answer { return answer{status: http.StatusCreated, body: body} }

// write writes an answer, cut where it may be cut.
func (s *server) write(w http.ResponseWriter, r *http.Request, a answer) {
	if a.file != "" {
		w.Header().Set("Content-Disposition", `attachment; filename="`+a.file+`"`)
		writeBody(w, a.status, "text/plain; charset=utf-8", []byte(a.body.(string)))
		return
	}
	texts := a.texts
	if texts == nil {
		texts = &api.Texts{}
	}
	body, _, err := texts.Fit(s.MaxAnswer, func() ([]byte, error) { return marshal(a.body) })
	if job.CodeOf(err) == job.TooLarge {
		err = job.Errorf(job.TooLarge, "The answer is larger than %d bytes. Ask for fewer objects a page.", s.MaxAnswer)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBody(w, a.status, jsonType, body)
}

const jsonType = "application/json; charset=utf-8"

func writeJSON(w http.ResponseWriter, status int, body any) {
	writeBody(w, status, jsonType, encode(body))
}

func writeBody(w http.ResponseWriter, status int, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// marshal encodes without escaping what HTML would need.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, job.Wrap(job.Internal, err, "encode an answer")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// rawJSON is a body that is encoded already.
type rawJSON []byte

// MarshalJSON returns it as it is.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// encode encodes what always can be.
func encode(v any) []byte {
	b, err := marshal(v)
	if err != nil {
		return []byte("{}")
	}
	return b
}
