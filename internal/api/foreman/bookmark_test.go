package foreman_test

import (
	"net/http"
	"net/url"
	"testing"

	"drover/internal/api/apitest"
)

func TestBookmarks(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	mark := func(o object) object { return object{"bookmark": o} }
	made := want(t, s, http.StatusCreated, post("/api/bookmarks", mark(object{"name": "ok hosts", "controller": "hosts", "query": "name ~ R", "public": true})))
	for key, value := range (object{"name": "ok hosts", "controller": "hosts", "query": "name ~ R", "public": true, "owner_type": "User"}) {
		if made[key] != value {
			t.Errorf("%s is %v, want %v", key, made[key], value)
		}
	}
	if made["owner_id"] == nil {
		t.Error("no owner")
	}
	want(t, s, http.StatusCreated, post("/api/bookmarks", mark(object{"name": "ok hosts", "controller": "job_invocations", "query": "status = failed"})))
	// As the Ansible collection looks for it: a comma means AND.
	found := want(t, s, http.StatusOK, get("/api/bookmarks?search="+url.QueryEscape(`name="ok hosts",controller="hosts"`)+"&per_page=4294967296"))
	if found["subtotal"] != 1.0 || id(results(found)[0]) != id(made) {
		t.Errorf("%v", found)
	}
	for _, ref := range []string{id(made), id(made) + "-ok-hosts", "ok%20hosts"} {
		if o := want(t, s, http.StatusOK, get("/api/bookmarks/"+ref)); id(o) != id(made) {
			t.Errorf("%s is %v", ref, o)
		}
	}
	// A public one is for all to read and for its owner to change.
	theirs := put("/api/bookmarks/"+id(made), mark(object{"query": "name = R2"}))
	theirs.User = apitest.Operator
	wantBody(t, s, 403, `{"error":{"details":"Missing one of the required permissions: edit_bookmarks","message":"Access denied","missing_permissions":["edit_bookmarks"]}}`,
		theirs)
	changed := want(t, s, http.StatusOK, put("/api/bookmarks/"+id(made), mark(object{"query": "name = R1", "public": false})))
	if changed["query"] != "name = R1" || changed["name"] != "ok hosts" || changed["public"] != false {
		t.Errorf("%v", changed)
	}
	// Private ones are their owner's only.
	private := get("/api/bookmarks/" + id(made))
	private.User = apitest.Operator
	want(t, s, http.StatusNotFound, private)
	mine := post("/api/bookmarks", mark(object{"name": "mine", "controller": "hosts", "query": "name = R2"}))
	mine.User = apitest.Operator
	want(t, s, http.StatusCreated, mine)
	if all := want(t, s, http.StatusOK, get("/api/bookmarks")); names(all, "name") != "ok hosts,ok hosts" {
		t.Errorf("%v", all)
	}
	want(t, s, http.StatusOK, del("/api/bookmarks/"+id(made)))
	wantBody(t, s, 404, `{"error":{"message":"Resource bookmark not found by id '`+id(made)+`'"}}`, del("/api/bookmarks/"+id(made)))
}

func TestBookmarks_Invalid(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	want(t, s, http.StatusCreated, post("/api/bookmarks", object{"bookmark": object{"name": "had", "controller": "hosts", "query": "x"}}))
	for _, c := range []struct {
		attrs object
		full  string
	}{
		{object{}, "Name can't be blank; Query can't be blank; Controller can't be blank"},
		{object{"name": "had", "controller": "hosts", "query": "y"}, "Name has already been taken"},
		{object{"name": "x", "controller": "no such thing", "query": "y"}, "Controller is not included in the list"},
	} {
		e, _ := want(t, s, http.StatusUnprocessableEntity, post("/api/bookmarks", object{"bookmark": c.attrs}))["error"].(object)
		if joined(e["full_messages"]) != c.full {
			t.Errorf("%v: %v", c.attrs, e)
		}
	}
}

// Of many who make the same bookmark at once one does.
func TestBookmarks_MadeAtOnce(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := make(chan int, 20)
	for range cap(made) {
		go func() {
			made <- s.Do(post("/api/bookmarks", object{"bookmark": object{"name": "same", "controller": "hosts", "query": "name = R1"}})).Status
		}()
	}
	got := map[int]int{}
	for range cap(made) {
		got[<-made]++
	}
	if got[http.StatusCreated] != 1 || got[http.StatusUnprocessableEntity] != cap(made)-1 {
		t.Errorf("%v", got)
	}
	other := id(want(t, s, 201, post("/api/bookmarks", object{"bookmark": object{"name": "other", "controller": "hosts", "query": "x"}})))
	wantBody(t, s, 422, `{"error":{"errors":{"name":["has already been taken"]},"full_messages":["Name has already been taken"],"id":`+other+`}}`,
		put("/api/bookmarks/other", object{"bookmark": object{"name": "same"}}))
	want(t, s, 200, del("/api/bookmarks/same"))
	want(t, s, 200, put("/api/bookmarks/other", object{"bookmark": object{"name": "same"}}))
	want(t, s, 201, post("/api/bookmarks", object{"bookmark": object{"name": "other", "controller": "hosts", "query": "x"}}))
}
