package executor

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// memory is a run's record in memory.
type memory struct {
	mu      sync.Mutex
	rows    map[int]job.Result
	rev     int
	control Control
	gone    map[string]bool
	writes  []job.Result
	reads   int // of control
	before  func(r job.Result) error

	failures, stopAfter int
}

func newMemory() *memory { return &memory{rows: map[int]job.Result{}, gone: map[string]bool{}} }

func (m *memory) Control(context.Context) (Control, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	c := m.control
	c.Read = time.Now()
	return c, nil
}

func (m *memory) Failed(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures++
	m.control.Stopped = m.control.Stopped || m.failures == m.stopAfter
	return m.control.Stopped, nil
}

// looks is how often somebody asked what has been decided.
func (m *memory) looks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

func (m *memory) cancel() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.control.Canceled = true
}

func (m *memory) Result(_ context.Context, index int) (job.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[index]
	if !ok {
		return r, job.Errorf(job.NotFound, "no result")
	}
	return r, nil
}

func (m *memory) Write(_ context.Context, r job.Result) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before != nil {
		if err := m.before(r); err != nil {
			return "", err
		}
	}
	if m.rows[r.Index].Rev != r.Rev {
		return "", job.Errorf(job.Conflict, "changed")
	}
	m.rev++
	r.Rev = strconv.Itoa(m.rev)
	m.rows[r.Index] = r
	m.writes = append(m.writes, r)
	return r.Rev, nil
}

func (m *memory) Gone(owner string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone[owner]
}

// script is a device that does what it is told, an attempt at a time.
type script struct {
	mu    sync.Mutex
	steps []step
	runs  int // commands that reached the device
	dials int
}

type step struct {
	dial error
	exit device.Exit
	err  error
	run  func(ctx context.Context, cmd device.Command) (device.Exit, error)
}

func (s *script) Dial(ctx context.Context, _ device.Endpoint) (device.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.steps[min(s.dials, len(s.steps)-1)]
	s.dials++
	if st.dial != nil {
		return nil, st.dial
	}
	return &session{s, st}, nil
}

type session struct {
	s  *script
	st step
}

func (s *session) Close() error { return nil }

func (s *session) Run(ctx context.Context, cmd device.Command) (device.Exit, error) {
	s.s.mu.Lock()
	s.s.runs++
	s.s.mu.Unlock()
	if s.st.run != nil {
		return s.st.run(ctx, cmd)
	}
	return s.st.exit, s.st.err
}

// killed runs until ctx ends and is killed then.
func killed(confirmed bool) step {
	return step{run: func(ctx context.Context, _ device.Command) (device.Exit, error) {
		<-ctx.Done()
		return device.Exit{Status: -1, Killed: true, KillConfirmed: confirmed}, nil
	}}
}

func refused(p device.Phase, reason string, sent bool) error {
	return &device.Error{Phase: p, Reason: reason, Sent: sent, Msg: "no"}
}

func work(l job.Limits) func(context.Context, int) (Work, error) {
	return func(_ context.Context, i int) (Work, error) {
		return Work{Index: i, DeviceID: int64(i), Device: "R" + strconv.Itoa(i), Limits: l,
			Script: func(context.Context) (string, error) { return "hostname", nil }}, nil
	}
}

func unit(m *memory, devices int, l job.Limits) Unit {
	return Unit{Ledger: m, Owner: "me", First: 0, End: devices, Spacing: 20 * time.Second, Work: work(l), Log: discard,
		Control: Control{Deadline: m.control.Deadline, Canceled: m.control.Canceled, Read: time.Now()}}
}

func execute(t *testing.T, c Config, u Unit) Outcome {
	t.Helper()
	out, err := New(c).Execute(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
