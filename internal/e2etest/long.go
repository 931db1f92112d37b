package e2etest

import (
	"strings"
	"time"
)

// long runs a command that may take three hours, longer than any function
// lives: it runs detached, whoever is there looks at it, and it runs once.
func long(c client) {
	f, file := fleet(c, "hours", 2, "echo began; sleep 4; echo done")
	service := file["services"].([]any)[0].(object)
	service["timeout"] = "3h"
	c.load(file)
	o := c.run(object{"name": "e2e-hours", "async": true})
	status, o := c.wait("e2e-hours", o.Runtime, 2*time.Minute)
	if status != "Completed" || !o.Success || len(o.Summary.Success) != 2 {
		c.t.Errorf("%s %+v", status, o)
	}
	for name, d := range o.Devices {
		if strings.TrimSpace(d.Result) != "began\ndone" {
			c.t.Errorf("%s answered %q", name, d.Result)
		}
	}
	for _, d := range f.Devices {
		began := 0
		for _, e := range d.Executions() {
			if strings.Contains(e.Script, "echo began") {
				began++
			}
		}
		if began != 1 {
			c.t.Errorf("%s began %d times: %+v", d.Name, began, d.Executions())
		}
	}
}
