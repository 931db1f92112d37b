package executor

import (
	"context"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// paced is a script behind a limit on new connections.
type paced struct {
	script
	pace func(ctx context.Context) error
	to   []device.Endpoint
}

func (p *paced) Pace(ctx context.Context) error { return p.pace(ctx) }

func (p *paced) Dial(ctx context.Context, to device.Endpoint) (device.Session, error) {
	p.to = append(p.to, to)
	return p.script.Dial(ctx, to)
}

func TestPace_NothingIsClaimedWhileItWaits(t *testing.T) {
	m := newMemory()
	d := &paced{script: script{steps: []step{{exit: device.Exit{}}}}}
	d.pace = func(context.Context) error {
		if len(m.rows) != 0 {
			t.Error("the device was claimed before its turn")
		}
		return nil
	}
	execute(t, Config{Dialer: d}, unit(m, 1, job.Limits{Timeout: time.Second}))
	if m.rows[0].Status != job.ResultSucceeded || len(d.to) != 1 || !d.to[0].Paced {
		t.Errorf("%+v, dialled %+v", m.rows[0], d.to)
	}
}

func TestPace_TooLongForThisCall(t *testing.T) {
	m := newMemory()
	d := &paced{pace: func(context.Context) error { return context.DeadlineExceeded }}
	out := execute(t, Config{Dialer: d}, unit(m, 1, job.Limits{Timeout: time.Second}))
	if !out.Again || len(m.rows) != 0 || len(d.to) != 0 {
		t.Errorf("%+v, rows %+v", out, m.rows)
	}
}

func TestPace_CanceledMeanwhile(t *testing.T) {
	m := newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	d := &paced{pace: func(ctx context.Context) error {
		m.cancel()
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}
	out, err := New(Config{Dialer: d}).Execute(ctx, unit(m, 2, job.Limits{Timeout: time.Second}))
	if err != nil || out.Again || len(m.rows) != 0 || len(d.to) != 0 {
		t.Errorf("%+v, %v, rows %+v", out, err, m.rows)
	}
}

func TestPace_ShutDownMeanwhile(t *testing.T) {
	m := newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	d := &paced{pace: func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}}
	_, err := New(Config{Dialer: d}).Execute(ctx, unit(m, 1, job.Limits{Timeout: time.Second}))
	if job.CodeOf(err) != job.Canceled || len(m.rows) != 0 {
		t.Errorf("%v, rows %+v", err, m.rows)
	}
}
