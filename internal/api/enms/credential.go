package enms

import (
	"encoding/json"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

type (
	credentialView = dispatch.CredentialView
	credentialIn   = inventory.CredentialInput
)

// credentialModel is eNMS's credential. passphrase is ours.
func credentialModel(d *dispatch.Dispatcher) *model[credentialView, credentialIn] {
	props := append(metaProperties[credentialView, credentialIn]("credential"),
		mapped("description", "", func(v credentialView) string { return v.Description }, func(in *credentialIn) **string { return &in.Description }),
		mapped("username", "", func(v credentialView) string { return v.Username }, func(in *credentialIn) **string { return &in.Username }),
		secretText[credentialView]("password", "", func(in *credentialIn) **job.Secret { return &in.Password }),
		secretText[credentialView]("private_key", "", func(in *credentialIn) **job.Secret { return &in.PrivateKey }),
		secretText[credentialView]("passphrase", "", func(in *credentialIn) **job.Secret { return &in.Passphrase }),
		secretText[credentialView]("enable_password", "become_password", func(in *credentialIn) **job.Secret { return &in.BecomePassword }),
		kept[credentialView, credentialIn]("role", "read-write"),
		kept[credentialView, credentialIn]("priority", 1),
		kept[credentialView, credentialIn]("subtype", nil).shown(func(o stored[credentialView]) any {
			if o.view.HasPrivateKey {
				return "key"
			}
			return "password"
		}),
		fixed[credentialView, credentialIn]("device_pools", []string{}),
		fixed[credentialView, credentialIn]("user_pools", []string{}),
	)
	return newModel(model[credentialView, credentialIn]{
		props:   props,
		meta:    func(v credentialView) job.Meta { return v.Meta },
		renames: true,
		identify: func(in *credentialIn, name string, newName *string, extra map[string]json.RawMessage) {
			in.Name, in.NewName, in.Extra = name, newName, extra
		},
		load: d.Credential, save: d.SaveCredentials, remove: d.DeleteCredential,
	})
}
