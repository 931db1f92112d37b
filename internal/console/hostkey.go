package console

import (
	"net/http"
	"time"

	"drover/internal/dispatch"
	"drover/internal/job"
)

// wireHostKey is a device's pinned key, and the other one that it showed last.
type wireHostKey struct {
	Device    string     `json:"device"`
	Key       string     `json:"key"`
	Pinned    *time.Time `json:"pinned"`
	PinnedBy  string     `json:"pinned_by"`
	Offered   string     `json:"offered"`
	OfferedAt *time.Time `json:"offered_at"`
}

func hostKeyOf(k job.HostKey) wireHostKey {
	w := wireHostKey{Device: k.Device, Key: k.Key, PinnedBy: k.PinnedBy, Offered: k.Offered, OfferedAt: utc(k.OfferedAt)}
	if !k.Pinned.IsZero() {
		w.Pinned = utc(&k.Pinned)
	}
	return w
}

type wireHostKeys struct {
	HostKeys []wireHostKey `json:"hostkeys"`
	Next     string        `json:"next"`
}

func (s *server) hostKeys(c call) (answer, error) {
	return c.listing(200, func(limit int, after string) (any, error) {
		keys, next, err := s.Dispatch.HostKeys(c.Context(), c.p, dispatch.Page{Limit: limit, After: after})
		out := wireHostKeys{HostKeys: make([]wireHostKey, len(keys)), Next: next}
		for i, k := range keys {
			out.HostKeys[i] = hostKeyOf(k)
		}
		return out, err
	})
}

// acceptHostKey pins the key that the device offered and was refused for, or
// the one in the body.
func (s *server) acceptHostKey(c call) (answer, error) {
	var in struct {
		Key string `json:"key"`
	}
	if _, err := c.decode(&in, true); err != nil {
		return answer{}, err
	}
	k, err := s.Dispatch.AcceptHostKey(c.Context(), c.p, c.PathValue("device"), in.Key)
	return answer{body: hostKeyOf(k)}, err
}

func (s *server) forgetHostKey(c call) (answer, error) {
	if err := s.Dispatch.ForgetHostKey(c.Context(), c.p, c.PathValue("device")); err != nil {
		return answer{}, err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return answer{}, errAnswered
}

// MaxHostKeys is how many keys one call imports.
const MaxHostKeys = 1000

// importHostKeys pins many keys; each stands alone.
func (s *server) importHostKeys(c call) (answer, error) {
	var in struct {
		Keys []struct {
			Device string `json:"device"`
			Key    string `json:"key"`
		} `json:"keys"`
	}
	if _, err := c.decode(&in, false); err != nil {
		return answer{}, err
	}
	if len(in.Keys) > MaxHostKeys {
		return answer{}, job.Errorf(job.TooLarge, "%d keys are more than the %d of one call", len(in.Keys), MaxHostKeys)
	}
	if !c.p.Role.Allows(job.ActChange) {
		return answer{}, job.Errorf(job.Forbidden, "the role %q does not allow this (%s)", c.p.Role, job.ActChange)
	}
	out := wireOutcomes{Outcomes: make([]wireOutcome, len(in.Keys))}
	for i, k := range in.Keys {
		o := dispatch.Outcome{Name: k.Device, Action: dispatch.Updated}
		if k.Key == "" {
			o.Err = job.FieldErrorf("key", "is required")
		} else {
			_, o.Err = s.Dispatch.AcceptHostKey(c.Context(), c.p, k.Device, k.Key)
		}
		out.add(i, "host_key", o)
	}
	return answer{body: out}, nil
}
