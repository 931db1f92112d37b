package console

import (
	"net/http"
	"time"

	"drover/internal/job"
)

// wireToken is a token of the caller's, without what it lets in by.
type wireToken struct {
	Name    string     `json:"name"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
}

func tokenOf(t job.Token) wireToken { return wireToken{t.Name, t.Created.UTC(), utc(t.Expires)} }

// tokens answers with all of the caller's tokens: there are job.MaxTokens at most.
func (s *server) tokens(c call) (answer, error) {
	tokens, err := s.Dispatch.Tokens(c.Context(), c.p)
	out := make([]wireToken, len(tokens))
	for i, t := range tokens {
		out[i] = tokenOf(t)
	}
	return answer{body: map[string]any{"tokens": out}}, err
}

// addToken makes a token. This answer is the only one that ever has its secret.
func (s *server) addToken(c call) (answer, error) {
	var in struct {
		Name     string `json:"name"`
		Lifetime string `json:"lifetime"`
	}
	if _, err := c.decode(&in, false); err != nil {
		return answer{}, err
	}
	lifetime, err := durationOf("lifetime", in.Lifetime)
	if err != nil {
		return answer{}, err
	}
	t, secret, err := s.Dispatch.AddToken(c.Context(), c.p, in.Name, lifetime)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: struct {
		Token  wireToken `json:"token"`
		Secret string    `json:"secret"`
	}{tokenOf(t), secret.Reveal()}}, nil
}

func (s *server) deleteToken(c call) (answer, error) {
	if err := s.Dispatch.RemoveToken(c.Context(), c.p, c.PathValue("name")); err != nil {
		return answer{}, err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return answer{}, errAnswered
}
