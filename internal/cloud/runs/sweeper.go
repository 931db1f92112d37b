package runs

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"drover/internal/cloud"
	"drover/internal/dispatch"
	"drover/internal/store"
)

// SweeperConfig is what the sweeper needs.
type SweeperConfig struct {
	cloud.Base
	Machine
}

// Sweeper returns the function that is called every minute, with whatever
// event. It fails when a run could not be looked after, so that the failure
// shows; the next minute tries again. Each sweep that comes to its end measures
// what it left behind.
func Sweeper(ctx context.Context) (func(context.Context) (dispatch.Swept, error), error) {
	var cfg SweeperConfig
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "sweeper")
	if err != nil {
		return nil, err
	}
	d, err := cfg.Dispatcher(clients, dispatch.Config{})
	if err != nil {
		return nil, err
	}
	return measured(d.Sweep, clients.Store, os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), os.Stdout), nil
}

// The metric of the sweeper. The stack's alarms are on it.
const (
	Namespace = "Drover"
	Overdue   = "OverdueRuns"  // runs that a healthy sweep would have got on
	Dimension = "FunctionName" // the sweeper's
)

// overdueAfter is how long a run may wait for a sweep. Each sweep gets on every
// run that is due, or sets it a later time, so that what is due for longer is
// what sweeps fail on.
const overdueAfter = 5 * time.Minute

// measured returns sweep with its measure: how many runs are overdue after it,
// written to out in CloudWatch's embedded metric format, whatever the level of
// the log. More than a page of them are counted as a page.
func measured(sweep func(context.Context) (dispatch.Swept, error), s *store.Store, function string, out io.Writer) func(context.Context) (dispatch.Swept, error) {
	return func(ctx context.Context) (dispatch.Swept, error) {
		swept, err := sweep(ctx)
		now := s.Now()
		rows, _, e := s.Due(ctx, now.Add(-overdueAfter), store.PageQuery{Limit: store.MaxPageRows})
		if e == nil {
			e = json.NewEncoder(out).Encode(line(now, function, len(rows), swept))
		}
		if err == nil {
			err = e
		}
		return swept, err
	}
}

// line is a line of the log that CloudWatch makes a metric of. What the sweep
// did is in it too, for queries.
func line(now time.Time, function string, overdue int, swept dispatch.Swept) any {
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	type metadata struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}
	return map[string]any{
		"_aws":    metadata{now.UnixMilli(), []directive{{Namespace, [][]string{{Dimension}}, []metric{{Overdue, "Count"}}}}},
		Dimension: function, Overdue: overdue,
		"msg": "swept", "started": swept.Started, "settled": swept.Settled, "waiting": swept.Waiting,
		"dropped": swept.Dropped, "expired": swept.Expired, "rows": swept.Rows,
	}
}
