package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// tokenInfo is a token, as the API says it and --json prints it.
type tokenInfo struct {
	Name    string     `json:"name"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
}

// until says how long the token is good.
func (t tokenInfo) until() string {
	if t.Expires == nil {
		return "until it is deleted"
	}
	return "until " + moment(*t.Expires)
}

func (p *program) tokenCommand() *cobra.Command {
	return group("token", "Make, list and delete tokens, which stand in your password's place",
		p.tokenAddCommand(), p.tokenListCommand(), p.tokenDeleteCommand())
}

func (p *program) tokenAddCommand() *cobra.Command {
	var lifetime string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token and print it, once",
		Long: `Make a token for yourself and print it; it cannot be seen again. A program that
has it acts as you, wherever your password would do, but it makes no tokens.`,
		Args: oneArgument,
	}
	r := p.remoteFlags(cmd)
	cmd.Flags().StringVar(&lifetime, "lifetime", "", "how long it is good, such as 30d or 12h; until it is deleted if not given")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		body := struct {
			Name     string `json:"name"`
			Lifetime string `json:"lifetime,omitempty"`
		}{Name: args[0]}
		if lifetime != "" {
			d, err := parseLifetime(lifetime)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			body.Lifetime = d.String()
		}
		var got struct {
			Token  tokenInfo `json:"token"`
			Secret string    `json:"secret"`
		}
		if err := r.call(cmd.Context(), http.MethodPost, "tokens", body, &got); err != nil {
			return err
		}
		p.notef("token %s is good %s; this is the only time it is shown\n", clean(got.Token.Name), got.Token.until())
		p.printf("%s\n", clean(got.Secret))
		return nil
	}))
	return cmd
}

// parseLifetime reads a length of time that may be given in days.
func parseLifetime(s string) (time.Duration, error) {
	const day, most = 24 * time.Hour, 36500 // a hundred years
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= most {
			return time.Duration(n) * day, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("--lifetime: %q is not a length of time such as 30d or 12h", s)
}

func (p *program) tokenListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "List your tokens", Args: cobra.NoArgs}
	r := p.remoteFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		var got struct {
			Tokens []tokenInfo `json:"tokens"`
		}
		if err := r.call(cmd.Context(), http.MethodGet, "tokens", nil, &got); err != nil {
			return err
		}
		if asJSON {
			return p.indented(append([]tokenInfo{}, got.Tokens...))
		}
		if len(got.Tokens) == 0 {
			p.printf("there are no tokens\n")
			return nil
		}
		w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "TOKEN\tMADE\tGOOD")
		for _, t := range got.Tokens {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", clean(t.Name), moment(t.Created), t.until())
		}
		return w.Flush()
	}))
	return cmd
}

func (p *program) tokenDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME", Short: "Take a token of yours out of use", Args: oneArgument}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, args []string) error {
		if err := r.call(cmd.Context(), http.MethodDelete, "tokens/"+url.PathEscape(args[0]), nil, nil); err != nil {
			return err
		}
		p.printf("token %s is gone\n", clean(args[0]))
		return nil
	}))
	return cmd
}
