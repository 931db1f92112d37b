package foreman

import (
	"drover/internal/dispatch"
	"drover/internal/job"
)

// The templates that run a command. Older playbooks know the second name.
const (
	runCommand    = "Run Command - Script Default"
	runCommandSSH = "Run Command - SSH Default"
)

// Defaults are what a tenant begins with: the templates and features that stock
// playbooks and buttons ask for by name.
func Defaults() dispatch.Defaults {
	command := func(name string) job.Template {
		t := job.Template{
			Meta: job.Meta{Name: name}, Type: job.TypeScript, Language: job.LanguageERB, Category: "Commands",
			Description: "Runs a command, or a script of several lines, on each host.", DescriptionFormat: "Run %{command}",
			Body: `<%= input("command") %>`,
			Inputs: []job.Input{{
				Name: "command", Kind: job.InputUser, Required: true, Description: "What to run", ValueType: "plain",
			}},
		}
		setExtra(&t, templateExtra{Provider: providerScript, Default: true})
		return t
	}
	return dispatch.Defaults{
		Templates: []job.Template{command(runCommand), command(runCommandSSH)},
		Features: []dispatch.FeatureDefault{
			{Label: "run_script", Title: "Run Script", Description: "Runs a script given as text", Template: runCommand},
			{Label: "puppet_run_host", Title: "Run Puppet Once", Description: "Applies the host's Puppet configuration once", Button: true},
		},
	}
}
