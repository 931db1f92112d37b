package inventory

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// References returns the names that the input mentions.
func (in ServiceInput) References() References {
	return References{
		Devices:     sortedNames(list(in.Devices)),
		Pools:       sortedNames(list(in.Pools)),
		Credentials: sortedNames(some(in.Credential)),
	}
}

// Apply returns base with the input's changes; what DeviceInput.Apply promises
// about the result holds here too. The expressions in the body are not
// checked.
func (in ServiceInput) Apply(base job.Service, create bool, refs Refs) (job.Service, error) {
	s := base
	if create {
		s.Type = job.TypeScript
		s.Limits = job.Limits{
			Timeout:     job.DefaultTimeout,
			Concurrency: job.DefaultConcurrency,
			Retries:     job.Retries{Wait: job.DefaultRetryWait},
			OnUnknown:   job.OnUnknownReport,
		}
	}
	var err error
	if s.Name, err = rename("service", base.Name, in.Name, in.NewName, create); err != nil {
		return job.Service{}, err
	}
	err = firstError(
		func() error { return in.setType(&s) },
		func() error { return setDescription(in.Description, &s.Description) },
		func() error { return in.setBody(&s, create) },
		func() error { return setRefs("devices", "device", in.Devices, refs.Devices, &s.Targets.DeviceIDs) },
		func() error { return setRefs("pools", "pool", in.Pools, refs.Pools, &s.Targets.PoolIDs) },
		func() error {
			return setRef("credential", "credential", in.Credential, refs.Credentials, &s.CredentialID)
		},
		func() error { return in.setLimits(&s.Limits) },
		func() error { return in.setBecome(&s.Become) },
		func() error { return in.setPayload(&s) },
		func() error { return setExtra(in.Extra, &s.Extra) },
	)
	if err != nil {
		return job.Service{}, err
	}
	if in.Disabled != nil {
		s.Disabled = *in.Disabled
	}
	return s, nil
}

func (in ServiceInput) setType(s *job.Service) error {
	if in.Type == nil {
		return nil
	}
	if *in.Type != string(job.TypeScript) {
		return unsupported("type", "the service type %.80q is not supported; %s is", *in.Type, job.TypeScript)
	}
	s.Type = job.TypeScript
	return nil
}

func (in ServiceInput) setBody(s *job.Service, create bool) error {
	if in.Body != nil {
		if err := ValidText("body", *in.Body, MaxBody); err != nil {
			return err
		}
		s.Body = *in.Body
	}
	if (create || in.Body != nil) && strings.TrimSpace(s.Body) == "" {
		return job.FieldErrorf("body", "a body is required")
	}
	return nil
}

func (in ServiceInput) setLimits(l *job.Limits) error {
	if in.OnUnknown != nil {
		switch p := job.OnUnknown(*in.OnUnknown); p {
		case job.OnUnknownReport, job.OnUnknownRepeat:
			l.OnUnknown = p
		default:
			return job.FieldErrorf("on_unknown", "%.60q is neither %s nor %s", *in.OnUnknown, job.OnUnknownReport, job.OnUnknownRepeat)
		}
	}
	return firstError(
		func() error { return setDuration("timeout", in.Timeout, 1, MaxTimeout, &l.Timeout) },
		func() error { return inRange("concurrency", in.Concurrency, 1, MaxConcurrency, &l.Concurrency) },
		func() error { return inRange("retry_count", in.RetryCount, 0, MaxRetries, &l.Retries.Count) },
		func() error { return setDuration("retry_wait", in.RetryWait, 0, MaxRetryWait, &l.Retries.Wait) },
		func() error { return inRange("output_limit", in.OutputLimit, 0, MaxOutputLimit, &l.OutputLimit) },
		func() error { return setDuration("run_timeout", in.RunTimeout, 0, MaxRunTimeout, &l.RunTimeout) },
		func() error { return setStopAfter(in.StopAfter, &l.StopAfter) },
	)
}

func setStopAfter(in *job.StopAfter, to *job.StopAfter) error {
	if in == nil {
		return nil
	}
	if err := ValidStopAfter("stop_after", *in); err != nil {
		return err
	}
	*to = *in
	return nil
}

// ValidStopAfter checks when a run is to end early. The error blames field.
func ValidStopAfter(field string, s job.StopAfter) error {
	switch {
	case s.Count != 0 && s.Percent != 0:
		return job.FieldErrorf(field, "is either a number of devices or a percentage")
	case s.Count < 0 || s.Count > job.MaxTargets:
		return job.FieldErrorf(field, "%d is not between 0 and %d", s.Count, job.MaxTargets)
	case s.Percent < 0 || s.Percent > 100:
		return job.FieldErrorf(field, "%d%% is not between 0%% and 100%%", s.Percent)
	}
	return nil
}

// ParseStopAfter reads a number of devices ("3") or a percentage ("10%"); "" and
// "0" mean that a run never stops early. The error blames field.
func ParseStopAfter(field, s string) (job.StopAfter, error) {
	var stop job.StopAfter
	if s == "" {
		return stop, nil
	}
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || strings.ContainsAny(digits, "+-") {
		return stop, job.FieldErrorf(field, "%.60q is neither a number of devices, such as 3, nor a percentage, such as 10%%", s)
	}
	if percent {
		stop.Percent = n
	} else {
		stop.Count = n
	}
	return stop, ValidStopAfter(field, stop)
}

// StopAfterText is what ParseStopAfter reads; "" stands for never.
func StopAfterText(s job.StopAfter) string {
	switch {
	case s.Percent > 0:
		return strconv.Itoa(s.Percent) + "%"
	case s.Count > 0:
		return strconv.Itoa(s.Count)
	}
	return ""
}

func setDuration(field string, in *time.Duration, least, most time.Duration, to *time.Duration) error {
	if in == nil {
		return nil
	}
	if *in < least || *in > most {
		if least > 0 {
			return job.FieldErrorf(field, "%v is not longer than 0 and at most %v", *in, most)
		}
		return job.FieldErrorf(field, "%v is not between 0 and %v", *in, most)
	}
	*to = *in
	return nil
}

// setBecome keeps user and method together: without a user there is no method,
// and the method of a user is sudo unless given.
func (in ServiceInput) setBecome(b *job.Become) error {
	if in.BecomeUser != nil {
		if err := validLogin("become_user", *in.BecomeUser); err != nil {
			return err
		}
		b.User = *in.BecomeUser
	}
	if in.BecomeMethod != nil {
		switch m := job.BecomeMethod(*in.BecomeMethod); m {
		case "", job.BecomeSudo, job.BecomeSu, job.BecomeDzdo:
			b.Method = m
		default:
			return job.FieldErrorf("become_method", "%.60q is not one of %s, %s and %s", *in.BecomeMethod, job.BecomeSudo, job.BecomeSu, job.BecomeDzdo)
		}
		if b.Method != "" && b.User == "" {
			return job.FieldErrorf("become_user", "is required with become_method")
		}
	}
	switch {
	case b.User == "":
		b.Method = ""
	case b.Method == "":
		b.Method = job.BecomeSudo
	}
	return nil
}

// validLogin accepts the name of an account on a device; it must not be taken
// for an option of a command.
func validLogin(field, s string) error {
	if strings.HasPrefix(s, "-") || len(s) > 64 {
		return job.FieldErrorf(field, "is not a user name")
	}
	for _, r := range s {
		if !isWordRune(r) && !strings.ContainsRune(`.-@\+$`, r) {
			return job.FieldErrorf(field, "is not a user name: it may hold letters, digits and _ . - @ \\ + $")
		}
	}
	return nil
}

func (in ServiceInput) setPayload(s *job.Service) error {
	if in.Payload == nil {
		return nil
	}
	if err := ValidPayload("payload", *in.Payload); err != nil {
		return err
	}
	raw, err := normalJSON(*in.Payload)
	if err != nil {
		return job.FieldErrorf("payload", "must be a JSON object")
	}
	s.Payload = nil
	if string(raw) != "{}" {
		s.Payload = raw
	}
	return nil
}

// ValidPayload checks that raw is a JSON object within MaxPayload, in UTF-8.
// The error blames field.
func ValidPayload(field string, raw json.RawMessage) error {
	if err := ValidText(field, string(raw), MaxPayload); err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return job.FieldErrorf(field, "must be a JSON object")
	}
	return nil
}
