// Package inventory holds the rules of the fleet: what an import or an API
// family may ask to change, which values are valid, and which devices a pool
// contains. It is pure: values in, values out.
package inventory

import (
	"encoding/json"
	"time"

	"drover/internal/job"
)

// The inputs below are create-or-update requests, one per kind of object,
// matched by Name. A nil field is left as it is (on create: the default).
// Relations are given by name; a list replaces the whole relation. NewName
// renames. Extra replaces the values under the keys it has.

// DeviceInput asks to create or update a device.
type DeviceInput struct {
	Name             string                     `json:"name"`
	NewName          *string                    `json:"new_name,omitempty"`
	Address          *string                    `json:"address,omitempty"`
	Port             *int                       `json:"port,omitempty"`
	Platform         *string                    `json:"platform,omitempty"`
	Credential       *string                    `json:"credential,omitempty"` // "": none
	Pools            *[]string                  `json:"pools,omitempty"`
	Labels           *map[string]string         `json:"labels,omitempty"`
	HostKey          *string                    `json:"host_key,omitempty"` // a policy, or a key in authorized_keys form: strict with that key pinned
	Jump             *string                    `json:"jump,omitempty"`     // "": none
	LegacyAlgorithms *bool                      `json:"legacy_algorithms,omitempty"`
	Description      *string                    `json:"description,omitempty"`
	Vendor           *string                    `json:"vendor,omitempty"`
	Model            *string                    `json:"model,omitempty"`
	Location         *string                    `json:"location,omitempty"`
	OperatingSystem  *string                    `json:"operating_system,omitempty"`
	OSVersion        *string                    `json:"os_version,omitempty"`
	Extra            map[string]json.RawMessage `json:"extra,omitempty"`
}

// PoolInput asks to create or update a pool. Devices are the static members;
// giving any to a pool with Match or Query is refused.
type PoolInput struct {
	Name        string                     `json:"name"`
	NewName     *string                    `json:"new_name,omitempty"`
	Description *string                    `json:"description,omitempty"`
	Match       *[]job.Criterion           `json:"match,omitempty"`
	Query       *string                    `json:"query,omitempty"` // "": none
	Devices     *[]string                  `json:"devices,omitempty"`
	Extra       map[string]json.RawMessage `json:"extra,omitempty"`
}

// CredentialInput asks to create or update a credential. An empty secret
// removes it.
type CredentialInput struct {
	Name           string                     `json:"name"`
	NewName        *string                    `json:"new_name,omitempty"`
	Description    *string                    `json:"description,omitempty"`
	Username       *string                    `json:"username,omitempty"`
	Password       *job.Secret                `json:"password,omitempty"`
	PrivateKey     *job.Secret                `json:"private_key,omitempty"`
	Passphrase     *job.Secret                `json:"passphrase,omitempty"`
	BecomePassword *job.Secret                `json:"become_password,omitempty"`
	Extra          map[string]json.RawMessage `json:"extra,omitempty"`
}

// ServiceInput asks to create or update a service.
type ServiceInput struct {
	Name         string                     `json:"name"`
	NewName      *string                    `json:"new_name,omitempty"`
	Type         *string                    `json:"type,omitempty"`
	Description  *string                    `json:"description,omitempty"`
	Body         *string                    `json:"body,omitempty"`
	Devices      *[]string                  `json:"devices,omitempty"` // default targets
	Pools        *[]string                  `json:"pools,omitempty"`
	Timeout      *time.Duration             `json:"timeout,omitempty"`
	Concurrency  *int                       `json:"concurrency,omitempty"`
	RetryCount   *int                       `json:"retry_count,omitempty"`
	RetryWait    *time.Duration             `json:"retry_wait,omitempty"`
	OnUnknown    *string                    `json:"on_unknown,omitempty"`
	OutputLimit  *int64                     `json:"output_limit,omitempty"`
	RunTimeout   *time.Duration             `json:"run_timeout,omitempty"` // 0: none
	StopAfter    *job.StopAfter             `json:"stop_after,omitempty"`  // the zero value: never
	BecomeUser   *string                    `json:"become_user,omitempty"`
	BecomeMethod *string                    `json:"become_method,omitempty"`
	Payload      *json.RawMessage           `json:"payload,omitempty"`    // a JSON object
	Credential   *string                    `json:"credential,omitempty"` // "": each device's own
	Disabled     *bool                      `json:"disabled,omitempty"`
	Extra        map[string]json.RawMessage `json:"extra,omitempty"`
}

// UserInput asks to create or update a user. Tenant is fixed at creation; ""
// means the caller's own.
type UserInput struct {
	Name     string                     `json:"name"`
	Tenant   string                     `json:"tenant,omitempty"`
	Role     *string                    `json:"role,omitempty"`
	Password *job.Secret                `json:"password,omitempty"`
	Extra    map[string]json.RawMessage `json:"extra,omitempty"`
}
