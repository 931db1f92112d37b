package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func (p *program) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "The keys that seal stored secrets"}
	cmd.AddCommand(p.keysRotateCommand())
	return cmd
}

func (p *program) keysRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Add a fresh key, with which secrets are sealed from now on",
		Long: `Add a fresh key to the keyset that seals stored secrets. What is sealed from now
on is sealed with it; what is sealed already stays as it is and still opens, so
that no key may be taken away. To seal the credentials of devices with the fresh
key, import them with other passwords, or delete and import them.

On one machine the keyset is the file drover.key: keep a fresh copy of it.`,
		Args: cobra.NoArgs,
	}
	r := p.remoteFlags(cmd)
	cmd.RunE = interruptible(failing(exitFailed, func(cmd *cobra.Command, _ []string) error {
		var got struct {
			Keys int `json:"keys"`
		}
		if err := r.call(cmd.Context(), http.MethodPost, "keys/rotate", nil, &got); err != nil {
			return err
		}
		p.printf("%d keys; secrets are sealed with the newest from now on\n", got.Keys)
		return nil
	}))
	return cmd
}
