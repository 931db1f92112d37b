package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// invocation is what is looked at of a job invocation of the Foreman API.
type invocation struct {
	ID     int64 `json:"id"`
	Task   struct{ ID string }
	Label  string `json:"status_label"`
	Total  any    `json:"total"`
	Failed any    `json:"failed"`
}

// template returns the id of the template that runs a command.
func (s *service) template() (int64, error) {
	var found struct{ Results []struct{ ID int64 } }
	err := s.send(http.MethodGet, "/api/job_templates?search="+url.QueryEscape(`name="Run Command - Script Default"`), nil, &found)
	if err == nil && len(found.Results) != 1 {
		err = fmt.Errorf("%d templates of that name", len(found.Results))
	}
	if err != nil {
		return 0, err
	}
	return found.Results[0].ID, nil
}

// invoke creates a job invocation.
func (s *service) invoke(template int64, query string, width int) (invocation, error) {
	var made invocation
	err := s.post("/api/job_invocations", map[string]any{"job_invocation": map[string]any{
		"job_template_id": template, "targeting_type": "static_query", "search_query": query,
		"inputs": map[string]string{"command": "echo hi"}, "ssh": map[string]string{"effective_user": "drover"},
		"concurrency_control": map[string]int{"concurrency_level": width}, "execution_timeout_interval": 60,
	}}, &made)
	return made, err
}

// runInvocation runs the same command as runSync through a job invocation, and
// asks for its task until that has stopped, as clients do (but more often).
func (s *service) runInvocation(template int64, width int) error {
	made, err := s.invoke(template, "name ~ h*", width)
	if err != nil {
		return err
	}
	for {
		var task struct{ State, Result string }
		if err := s.send(http.MethodGet, "/foreman_tasks/api/tasks/"+made.Task.ID, nil, &task); err != nil {
			return err
		}
		if task.State == "stopped" {
			if task.Result != "success" {
				return fmt.Errorf("the job invocation ended with %q", task.Result)
			}
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// How many job invocations there are when the index is read.
const (
	fewInvocations  = 100
	manyInvocations = 10_000
)

// measureIndex reads the first page of the index of job invocations where there
// are few of them and where there are many.
func measureIndex(w io.Writer, pairs int) error {
	dir, err := os.MkdirTemp("", "drover-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sizes := []int{fewInvocations, manyInvocations}
	services := make([]*service, len(sizes))
	took := make([][]time.Duration, len(sizes))
	for i, n := range sizes {
		svc, err := startService(filepath.Join(dir, fmt.Sprint(n)), nil, 1)
		if err != nil {
			return err
		}
		defer svc.stop()
		services[i] = svc
		if err := svc.fill(n); err != nil {
			return err
		}
	}
	for range 20 * pairs {
		for i, svc := range services {
			var page struct {
				Total   int
				Results []invocation
			}
			begin := time.Now()
			if err := svc.send(http.MethodGet, "/api/job_invocations", nil, &page); err != nil {
				return err
			}
			took[i] = append(took[i], time.Since(begin))
			if page.Total != sizes[i] || len(page.Results) != 20 {
				return fmt.Errorf("the index says %d, and shows %d, of %d", page.Total, len(page.Results), sizes[i])
			}
		}
	}
	fmt.Fprintln(w, "GET /api/job_invocations, first page of 20\tp50\tagainst the few")
	for i, n := range sizes {
		fmt.Fprintf(w, "  of %d\t%.2f ms\t%.2fx\n", n, ms(median(took[i])), float64(median(took[i]))/float64(median(took[0])))
	}
	fmt.Fprintln(w, "\t\t")
	return nil
}

// fill creates job invocations for which there is nothing to do.
func (s *service) fill(n int) error {
	id, err := s.template()
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(32)
	for range n {
		g.Go(func() error {
			_, err := s.invoke(id, "name = nobody", 1)
			return err
		})
	}
	return g.Wait()
}
