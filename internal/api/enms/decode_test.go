package enms

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/job"
)

func TestDecodeRun(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want runRequest
	}{
		"name only": {`{"name": "s"}`, runRequest{name: "s"}},
		"all targets": {`{"name": "s", "devices": ["R1", "R2"], "ip_addresses": ["10.0.0.1"], "pools": ["P"]}`,
			runRequest{name: "s", devices: []string{"R1", "R2"}, addresses: []string{"10.0.0.1"}, pools: []string{"P"}}},
		"null and empty lists":     {`{"name": "s", "devices": null, "pools": []}`, runRequest{name: "s", pools: []string{}}},
		"a bare name is a list":    {`{"name": "s", "devices": "R1"}`, runRequest{name: "s", devices: []string{"R1"}}},
		"async true":               {`{"name": "s", "async": true}`, runRequest{name: "s", async: true}},
		"async 1":                  {`{"name": "s", "async": 1}`, runRequest{name: "s", async: true}},
		"async yes":                {`{"name": "s", "async": "yes"}`, runRequest{name: "s", async: true}},
		"async 0":                  {`{"name": "s", "async": 0}`, runRequest{name: "s"}},
		"async null":               {`{"name": "s", "async": null}`, runRequest{name: "s"}},
		"async empty":              {`{"name": "s", "async": ""}`, runRequest{name: "s"}},
		"async the text false":     {`{"name": "s", "async": "False"}`, runRequest{name: "s"}},
		"ignore invalid":           {`{"name": "s", "ignore_invalid_targets": true}`, runRequest{name: "s", ignoreInvalid: true}},
		"labels":                   {`{"name": "s", "labels": "l1"}`, runRequest{name: "s", labels: "l1"}},
		"a form names the run":     {`{"name": "s", "form": {"name": "mine", "x": 1}}`, runRequest{name: "s", runName: "mine"}},
		"a form without a name":    {`{"name": "s", "form": {"name": ""}}`, runRequest{name: "s"}},
		"labels of a form":         {`{"name": "s", "parameterized_run": true, "form": {"labels": "l2"}}`, runRequest{name: "s", labels: "l2"}},
		"a form that is not asked": {`{"name": "s", "form": {"labels": "l2", "target_devices": [1]}}`, runRequest{name: "s"}},
	} {
		got, err := decodeRun([]byte(c.body), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got.payload = nil
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(runRequest{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDecodeRun_AsyncHasADefault(t *testing.T) {
	for _, def := range []bool{false, true} {
		q, err := decodeRun([]byte(`{"name": "s"}`), def)
		if err != nil || q.async != def {
			t.Errorf("default %v: %v %v", def, q.async, err)
		}
	}
}

// What reaches the payload: spec 1.7, captures 3.1 row 10.
func TestDecodeRun_Payload(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"own keys of any kind": {`{"name": "s", "aid": "1-2-3", "l": [1], "d": {"k": null}}`, `{"aid":"1-2-3","d":{"k":null},"l":[1]}`},
		"targets stay":         {`{"name": "s", "devices": ["R1"], "pools": ["P"], "async": false}`, `{"async":false,"devices":["R1"],"pools":["P"]}`},
		"devices only":         {`{"name": "s", "devices": ["R1"]}`, `{"devices":["R1"],"target_pools":[]}`},
		"addresses only":       {`{"name": "s", "ip_addresses": ["10.0.0.1"]}`, `{"ip_addresses":["10.0.0.1"],"target_pools":[]}`},
		"pools only":           {`{"name": "s", "pools": ["P"]}`, `{"pools":["P"],"target_devices":[]}`},
		"no targets":           {`{"name": "s", "devices": [], "pools": [], "ip_addresses": []}`, `{"devices":[],"ip_addresses":[],"pools":[]}`},
		"reserved and true":    {`{"name": "s", "creator": "admin", "trigger": "T", "service": "x", "target_devices": [1], "status": "Running", "labels": "l"}`, `{}`},
		"reserved and false":   {`{"name": "s", "success": false, "labels": "", "state": {}, "task": null, "progress": 0}`, `{"labels":"","progress":0,"state":{},"success":false,"task":null}`},
		"payload stays":        {`{"name": "s", "payload": {"a": 1}}`, `{"payload":{"a":1}}`},
		"variables stay":       {`{"name": "s", "variables": {"v": 1}}`, `{"variables":{"v":1}}`},
		"form stays":           {`{"name": "s", "form": {"a": 1}}`, `{"form":{"a":1}}`},
		"initial payload of a form": {`{"name": "s", "parameterized_run": true, "form": {"initial_payload": {"a": 1, "b": 1}}, "b": 2}`,
			`{"a":1,"b":2,"form":{"initial_payload":{"a":1,"b":1}}}`},
		"digits stay": {`{"name": "s", "n": 12345678901234567890.50}`, `{"n":12345678901234567890.50}`},
	} {
		q, err := decodeRun([]byte(c.body), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := json.Marshal(q.payload)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestDecodeRun_Refuses(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		field string
		code  job.Code
	}{
		"nothing":                  {``, "", job.Invalid},
		"null":                     {`null`, "name", job.Invalid},
		"a list":                   {`[]`, "", job.Invalid},
		"a text":                   {`"s"`, "", job.Invalid},
		"broken":                   {`{"name": "s"`, "", job.Invalid},
		"two values":               {`{"name": "s"}{}`, "", job.Invalid},
		"a form body":              {`name=s&devices=R1`, "", job.Invalid},
		"no name":                  {`{}`, "name", job.Invalid},
		"name null":                {`{"name": null}`, "name", job.Invalid},
		"name empty":               {`{"name": ""}`, "name", job.Invalid},
		"name a list":              {`{"name": ["s"]}`, "name", job.Invalid},
		"name true":                {`{"name": true}`, "name", job.Invalid},
		"name a number":            {`{"name": 5}`, "", job.NotFound},
		"devices an object":        {`{"name": "s", "devices": {}}`, "devices", job.Invalid},
		"devices a number":         {`{"name": "s", "devices": 5}`, "devices", job.Invalid},
		"devices with a number":    {`{"name": "s", "devices": ["R1", 5]}`, "devices", job.Invalid},
		"devices with null":        {`{"name": "s", "devices": ["R1", null]}`, "devices[1]", job.Invalid},
		"addresses true":           {`{"name": "s", "ip_addresses": true}`, "ip_addresses", job.Invalid},
		"pools nested":             {`{"name": "s", "pools": [["P"]]}`, "pools", job.Invalid},
		"labels a list":            {`{"name": "s", "labels": ["l"]}`, "labels", job.Invalid},
		"form a list":              {`{"name": "s", "form": []}`, "form", job.Invalid},
		"form a text":              {`{"name": "s", "form": "x"}`, "form", job.Invalid},
		"form name a number":       {`{"name": "s", "form": {"name": 5}}`, "form.name", job.Invalid},
		"form name too long":       {`{"name": "s", "form": {"name": "` + strings.Repeat("n", 256) + `"}}`, "form.name", job.Invalid},
		"targets of a form":        {`{"name": "s", "parameterized_run": true, "form": {"target_devices": [1]}}`, "form.target_devices", job.Unsupported},
		"query of a form":          {`{"name": "s", "parameterized_run": true, "form": {"device_query": "x"}}`, "form.device_query", job.Unsupported},
		"initial payload a list":   {`{"name": "s", "parameterized_run": true, "form": {"initial_payload": [1]}}`, "form.initial_payload", job.Invalid},
		"nested without end":       {`{"name": "s", "x": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "", job.Invalid},
		"a name that is not UTF-8": {"{\"name\": \"\xff\"}", "", job.Invalid},
	} {
		_, err := decodeRun([]byte(c.body), false)
		e, ok := err.(*job.Error)
		if !ok || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

// Every reserved key, true, is kept out; none of them but labels and payload has an effect.
func TestDecodeRun_ReservedKeysHaveNoEffect(t *testing.T) {
	for _, key := range slices.Sorted(maps.Keys(reserved)) {
		if key == "name" || key == "payload" || key == "labels" {
			continue
		}
		q, err := decodeRun([]byte(`{"name": "s", "`+key+`": "x"}`), false)
		if err != nil || len(q.payload) != 0 || q.runName != "" || q.labels != "" {
			t.Errorf("%s: %v %v", key, q, err)
		}
	}
}

func FuzzDecodeRun(f *testing.F) {
	for _, s := range []string{
		`{"name": "s", "devices": ["R1"], "async": "false", "aid": "1-2-3"}`, `{"name": 5}`, `{"name": "s", "form": {"name": "n"}, "parameterized_run": 1}`,
		`{"name": "s", "devices": "R1", "labels": ["x"], "trigger": [ ]}`, `[]`, `{"name":"\ud800"}`, `{"name":"s","async":1e999}`, `{"name":"s","x":{ }}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := decodeRun(body, false)
		if err != nil {
			if status := statuses[job.CodeOf(err)]; status < 400 || status > 499 {
				t.Fatalf("status %d: %v", status, err)
			}
			return
		}
		if q.name == "" {
			t.Fatal("accepted without a name")
		}
		if _, err := q.submission(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeItems(f *testing.F) {
	for _, s := range []string{`{"name": "d", "ip_address": "10.0.0.1"}`, `[{"name": "a"}, {}]`, `[1]`, `null`, `{"name": "x", "owners": ["a"]}`, `{"name": {}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := decodeItems(body)
		if err != nil {
			if status := statuses[job.CodeOf(err)]; status != 400 {
				t.Fatalf("status %d: %v", status, err)
			}
			return
		}
		for _, it := range items {
			for k, raw := range it.given {
				_, _ = same(raw, 5), same(raw, "x")
				_, _ = truthy(raw), boolean(raw)
				if _, err := names(k, raw); err != nil && job.CodeOf(err) != job.Invalid {
					t.Fatal(err)
				}
				if _, err := seconds(k, raw); err != nil && job.CodeOf(err) != job.Invalid {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestDecodeItems_RefusesRights(t *testing.T) {
	for body, field := range map[string]string{
		`{"name": "d", "owners": ["ops"]}`:                              "owners",
		`{"name": "d", "rbac_read": ["ops"]}`:                           "rbac_read",
		`{"name": "d", "admin_only": true}`:                             "admin_only",
		`{"name": "d", "restrict_to_owners": ["run"]}`:                  "restrict_to_owners",
		`[{"name": "a"}, {"name": "d", "groups": ["g"]}]`:               "groups",
		`{"name": "d", "owners": [], "rbac_x": ["a"], "admin_only": 0}`: "rbac_x",
	} {
		_, err := decodeItems([]byte(body))
		if e, ok := err.(*job.Error); !ok || e.Field != field || statuses[e.Code] != 400 {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{`{"name": "d", "owners": [], "admin_only": false, "restrict_to_owners": null, "rbac_read": []}`} {
		if _, err := decodeItems([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}
