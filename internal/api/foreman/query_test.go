package foreman

import "testing"

func TestQueries(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{hostsQuery([]string{"host137", "host138"}), "name ^ (host137, host138)"},
		{hostsQuery([]string{"a"}), "name ^ (a)"},
		{rerunQuery([]string{"a", "b"}), "name ^ (a,b)"},
		{rerunQuery(nil), "name ^ ()"},
		{erf("Cannot specify both bookmark_id and search_query"), "ERF42-9522 [Foreman::Exception]: Cannot specify both bookmark_id and search_query"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
