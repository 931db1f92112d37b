package foreman

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drover/internal/api"
	"drover/internal/job"
	"drover/internal/search"
)

func plainServer() *server {
	return &server{Config: Config{MaxAnswer: 200, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
}

// Every code of an error has a status, and what the caller did is never a 5xx.
func TestStatuses(t *testing.T) {
	ours := map[job.Code]bool{job.Unavailable: true, job.Canceled: true, job.Corrupt: true, job.Internal: true}
	for _, code := range []job.Code{job.Invalid, job.NotFound, job.AlreadyExists, job.Conflict, job.KeyReused, job.Unauthenticated, job.Forbidden, job.Disabled,
		job.TooLarge, job.Unsupported, job.Exhausted, job.Unavailable, job.Canceled, job.Corrupt, job.Internal} {
		w := httptest.NewRecorder()
		plainServer().fail(w, httptest.NewRequest("GET", "/api/hosts", nil), job.Errorf(code, "told"))
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		if w.Code < 400 || (w.Code >= 500) != ours[code] {
			t.Errorf("%s is %d", code, w.Code)
		}
		if told := strings.Contains(w.Body.String(), "told"); told && w.Code == 500 {
			t.Errorf("%s tells what went wrong inside: %s", code, w.Body)
		}
	}
}

func TestFail_WhatHandlersDidNotMap(t *testing.T) {
	_, unknownField := search.Compile("zz = 1", taxonomyFields, search.Lenient, search.Env{})
	for _, c := range []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"a search", job.Wrap(job.Invalid, unknownField, "wrapped"), 400, `{"error":{"class":"ScopedSearch::QueryNotSupported","message":"Field 'zz' not recognized for searching!"}}`},
		{"no error of ours", errors.New("boom"), 500, string(encode(defectBody()))},
		{"missing", job.Errorf(job.NotFound, "no pool"), 404, `{"error":{"message":"no pool"}}`},
		{"a field", job.FieldErrorf("page", "must be a number"), 422, `{"error":{"message":"page: must be a number"}}`},
		{"not now", job.Errorf(job.Unavailable, "the store does not answer"), 503, `{"message":"the store does not answer"}`},
		{"wrapped refusal", job.Wrap(job.Invalid, notFound("host", "5"), "x"), 404, `{"error":{"message":"Resource host not found by id '5'"}}`},
	} {
		w := httptest.NewRecorder()
		plainServer().fail(w, httptest.NewRequest("GET", "/api/hosts", nil), c.err)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	ctx, hangUp := context.WithCancel(context.Background())
	hangUp()
	w := httptest.NewRecorder()
	plainServer().fail(w, httptest.NewRequestWithContext(ctx, "GET", "/api/hosts", nil), ctx.Err())
	if w.Code != statusHungUp {
		t.Errorf("the caller is gone: %d", w.Code)
	}
}

func TestWrite_LargeAnswers(t *testing.T) {
	r := httptest.NewRequest("GET", "/api/hosts", nil)
	w := httptest.NewRecorder()
	plainServer().write(w, r, ok(fields{"results": strings.Repeat("x", 300)}))
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "fewer objects a page") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	texts := &api.Texts{}
	a := ok(fields{"output": texts.Add(strings.Repeat("x", 300))})
	a.texts = texts
	w = httptest.NewRecorder()
	plainServer().write(w, r, a)
	if w.Code != 200 || w.Body.Len() > 200 || !strings.Contains(w.Body.String(), "left out]") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestValidationFailed_TellsAllAtOnce(t *testing.T) {
	var ps problems
	if ps.asError(5) != nil {
		t.Error("nothing is wrong")
	}
	ps.blank("name", " ")
	ps.add("name", "is odd")
	ps.short("job_category", strings.Repeat("ä", 256))
	ps.short("description", strings.Repeat("ä", 255))
	ps.add("base", "All of it.")
	w := httptest.NewRecorder()
	plainServer().fail(w, httptest.NewRequest("PUT", "/api/x", nil), ps.asError(5))
	const want = `{"error":{"errors":{"base":["All of it."],"job_category":["is too long (maximum is 255 characters)"],"name":["can't be blank","is odd"]},` +
		`"full_messages":["Name can't be blank","Name is odd","Job category is too long (maximum is 255 characters)","All of it."],"id":5}}`
	if w.Code != 422 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
