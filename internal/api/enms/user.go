package enms

import (
	"encoding/json"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

type userIn = inventory.UserInput

// userModel is eNMS's user. Its rights are is_admin there and one of three
// roles here; "role" is ours.
func userModel(d *dispatch.Dispatcher) *model[job.User, userIn] {
	props := append(metaProperties[job.User, userIn]("user"),
		mapped("role", "", func(u job.User) string { return string(u.Role) }, func(in *userIn) **string { return &in.Role }),
		property[job.User, userIn]{
			name: "is_admin", get: func(o stored[job.User]) any { return o.view.Role == job.Admin },
			put: func(*edit[job.User, userIn], json.RawMessage) error { return nil }, // finishUser reads it
		},
		secretText[job.User]("password", "", func(in *userIn) **job.Secret { return &in.Password }),
		kept[job.User, userIn]("description", ""),
		kept[job.User, userIn]("email", ""),
		fixed[job.User, userIn]("authentication", "database"),
	)
	return newModel(model[job.User, userIn]{
		props: props,
		meta:  func(u job.User) job.Meta { return u.Meta },
		identify: func(in *userIn, name string, _ *string, extra map[string]json.RawMessage) {
			in.Name, in.Extra = name, extra
		},
		finish: finishUser,
		load:   d.User, save: d.SaveUsers, remove: d.DeleteUser,
	})
}

// finishUser makes one role of is_admin and role. Who is not an administrator
// in eNMS may run what they can see: an operator here.
func finishUser(e *edit[job.User, userIn]) error {
	if !e.set("is_admin") {
		if !e.exists && e.in.Role == nil {
			e.in.Role = roleName(job.Operator)
		}
		return nil
	}
	admin := boolean(e.given["is_admin"])
	if e.in.Role != nil {
		if (*e.in.Role == string(job.Admin)) != admin {
			return job.FieldErrorf("is_admin", "does not agree with role")
		}
		return nil
	}
	switch {
	case admin:
		e.in.Role = roleName(job.Admin)
	case !e.exists || e.was.view.Role == job.Admin:
		e.in.Role = roleName(job.Operator)
	}
	return nil
}

func roleName(r job.Role) *string {
	s := string(r)
	return &s
}
