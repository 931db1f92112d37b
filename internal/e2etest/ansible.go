package e2etest

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// generation is one of the installations of Ansible that scripts/ansible makes.
type generation struct {
	version string // of the package; the collection of the Foreman modules is in it
	waits   bool   // the collection can wait for tasks
}

var generations = []generation{{"7.7.0", false}, {"12.3.0", true}}

//go:embed playbooks
var playbooks embed.FS

// ansible runs the real collection of both generations, unmodified, against the
// Foreman API. Where an installation is missing its part is skipped, which CI
// takes for a failure.
func ansible(c client) {
	f, file := fleet(c, "ansible", 3, "true")
	label(file, "site", "lab")
	c.load(file)
	proxy := httptest.NewServer(c.proxy())
	c.t.Cleanup(proxy.Close)
	c.t.Run("with", func(t *testing.T) {
		for _, g := range generations {
			t.Run(g.version, func(t *testing.T) {
				t.Parallel()
				collection(t, proxy.URL, c.target, g)
			})
		}
	})
	if n := f.Devices[2].Count(); n != 0 {
		c.t.Errorf("%d commands on a host that nobody named", n)
	}
}

// collection runs what one generation of the collection offers.
func collection(t *testing.T, server string, target Target, g generation) {
	p := play{t: t, programs: installed(t, g.version), dir: t.TempDir(), vars: map[string]any{
		"server_url": server, "username": target.User, "password": target.Password,
		"generation": g.version, "hosts_wanted": names("ansible", 2),
	}}
	p.playbook("job.yml")
	if g.waits {
		p.playbook("wait.yml")
	}
	for _, reports := range []bool{false, true} {
		p.inventory(server, reports)
	}
}

// label gives all devices of a fleet file a label.
func label(file object, name, value string) {
	for _, d := range file["devices"].([]any) {
		d.(object)["labels"] = object{name: value}
	}
}

// proxy passes requests on to the target under the host name that it wants: a
// client that knows only a URL cannot say another.
func (c client) proxy() *httputil.ReverseProxy {
	to, err := url.Parse(c.target.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if c.target.Host != "" {
			r.Out.Host = c.target.Host
		}
	}}
}

// installed returns the folder of an installation's programs.
func installed(t *testing.T, version string) string {
	script, err := filepath.Abs(filepath.Join(root(t), "scripts", "ansible"))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(script, "installed", version).Run(); err != nil {
		t.Skipf("Ansible %s is not installed: scripts/ansible install", version)
	}
	out, err := exec.Command(script, "path", version).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// root is the top of the checkout, from which the tests of several packages run.
func root(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("this is no checkout")
	return ""
}

// play runs Ansible's programs in a folder of its own.
type play struct {
	t        *testing.T
	programs string
	dir      string
	vars     map[string]any
}

func (p play) run(program string, args ...string) []byte {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.programs, program), args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "XDG_CACHE_HOME="+p.dir, "ANSIBLE_LOCALHOST_WARNING=false",
		"ANSIBLE_NOCOLOR=1", "ANSIBLE_INVENTORY_ENABLED=host_list,theforeman.foreman.foreman", "LC_ALL=C.UTF-8")
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, errors.String())
	}
	return out
}

func (p play) file(name string, content []byte) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func (p play) playbook(name string) {
	p.t.Helper()
	book, err := playbooks.ReadFile("playbooks/" + name)
	if err != nil {
		p.t.Fatal(err)
	}
	vars, err := json.Marshal(p.vars)
	if err != nil {
		p.t.Fatal(err)
	}
	p.run("ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "@"+p.file("vars.json", vars), p.file(name, book))
}

// inventory expects the inventory plugin to find the hosts with their group and
// parameters.
func (p play) inventory(server string, reports bool) {
	p.t.Helper()
	source := p.file("e2e.foreman.yml", fmt.Appendf(nil,
		"plugin: theforeman.foreman.foreman\nurl: %s\nuser: %v\npassword: %v\nwant_params: true\nwant_facts: true\nuse_reports_api: %v\npoll_interval: 1\nhost_filters: 'params.site = lab'\nbatch_size: 2\n",
		server, p.vars["username"], p.vars["password"], reports))
	var got struct {
		Meta struct {
			Hosts map[string]map[string]any `json:"hostvars"`
		} `json:"_meta"`
		Group struct {
			Hosts []string `json:"hosts"`
		} `json:"foreman_e2e_ansible"`
	}
	out := p.run("ansible-inventory", "-i", source, "--list")
	if err := json.Unmarshal(out, &got); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	for _, name := range names("ansible", 3) {
		vars := got.Meta.Hosts[name]
		if said(vars["site"]) != "lab" || vars["foreman_facts"] == nil {
			p.t.Errorf("reports %v: %s has %v", reports, name, vars)
		}
		if !slices.Contains(got.Group.Hosts, name) {
			p.t.Errorf("reports %v: %s is not in its group: %s", reports, name, out)
		}
	}
}

// said is a text of an inventory's listing. Newer versions mark those that came
// from outside.
func said(v any) any {
	if marked, ok := v.(map[string]any); ok {
		return marked["__ansible_unsafe"]
	}
	return v
}
