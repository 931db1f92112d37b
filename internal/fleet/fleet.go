// Package fleet reads the fleet file: credentials, devices, pools, services and
// users in YAML or JSON. The same format is the body of an import over HTTP.
//
// Parse reports everything that is wrong at once, each with line, column and
// field. Values are judged by package inventory, which judges them again when
// they are stored, so that the two never disagree. What only the installation
// can know, whether a name outside of the file exists, is left to the caller:
// see File.Needs.
package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
)

// Document is what a fleet file says. A nil field was not given: on an update
// it stays as it is. The schema in docs/fleet.schema.json has the same fields.
type Document struct {
	Credentials []Credential `json:"credentials"`
	Devices     []Device     `json:"devices"`
	Pools       []Pool       `json:"pools"`
	Services    []Service    `json:"services"`
	Users       []User       `json:"users"`
}

// Credential logs in to devices. Of each secret one form may be given: the
// value, the name of an environment variable, or a file; Parse leaves only the
// value.
type Credential struct {
	Name               *string     `json:"name"`
	Description        *string     `json:"description"`
	Username           *string     `json:"username"`
	Password           *job.Secret `json:"password"`
	PasswordEnv        *string     `json:"password_env"`
	PasswordFile       *string     `json:"password_file"`
	PrivateKey         *job.Secret `json:"private_key"`
	PrivateKeyEnv      *string     `json:"private_key_env"`
	PrivateKeyFile     *string     `json:"private_key_file"`
	Passphrase         *job.Secret `json:"passphrase"`
	PassphraseEnv      *string     `json:"passphrase_env"`
	PassphraseFile     *string     `json:"passphrase_file"`
	BecomePassword     *job.Secret `json:"become_password"`
	BecomePasswordEnv  *string     `json:"become_password_env"`
	BecomePasswordFile *string     `json:"become_password_file"`
}

// Device is one thing that runs commands.
type Device struct {
	Name            *string            `json:"name"`
	Address         *string            `json:"address"`
	Port            *int               `json:"port"`
	Platform        *string            `json:"platform"`
	Credential      *string            `json:"credential"`
	Pools           *[]string          `json:"pools"`
	Labels          *map[string]string `json:"labels"`
	HostKey         *string            `json:"host_key"` // a policy or a pinned key
	Jump            *string            `json:"jump"`
	SSHAlgorithms   *string            `json:"ssh_algorithms"` // AlgorithmsDefault or AlgorithmsLegacy
	Description     *string            `json:"description"`
	Vendor          *string            `json:"vendor"`
	Model           *string            `json:"model"`
	Location        *string            `json:"location"`
	OperatingSystem *string            `json:"operating_system"`
	OSVersion       *string            `json:"os_version"`
}

// What ssh_algorithms may be.
const (
	AlgorithmsDefault = "default"
	AlgorithmsLegacy  = "legacy" // also those that only old devices still need
)

// Pool is a named set of devices: those that name it, or those that match and
// meet the query.
type Pool struct {
	Name        *string      `json:"name"`
	Description *string      `json:"description"`
	Match       *[]Criterion `json:"match"`
	Query       *string      `json:"query"`
}

// computed reports whether the file says that the members are.
func (p Pool) computed() bool {
	return p.Match != nil && len(*p.Match) > 0 || value(p.Query) != ""
}

// static reports whether the file says that the members are not computed any
// more.
func (p Pool) static() bool {
	return (p.Match != nil || p.Query != nil) && !p.computed()
}

// Criterion is one condition of a pool.
type Criterion struct {
	Field  *string `json:"field"`
	Op     *string `json:"op"`
	Value  *string `json:"value"`
	Invert *bool   `json:"invert"`
}

// Service is a script with its targets and limits.
type Service struct {
	Name        *string          `json:"name"`
	Type        *string          `json:"type"`
	Description *string          `json:"description"`
	Body        *string          `json:"body"`
	Targets     *Targets         `json:"targets"`
	Timeout     *Duration        `json:"timeout"`
	Concurrency *int             `json:"concurrency"`
	Retries     *Retries         `json:"retries"`
	OnUnknown   *string          `json:"on_unknown"`
	OutputLimit *int64           `json:"output_limit"`
	RunTimeout  *Duration        `json:"run_timeout"`
	StopAfter   *StopAfter       `json:"stop_after"`
	Become      *Become          `json:"become"`
	Payload     *json.RawMessage `json:"payload"`
	Credential  *string          `json:"credential"`
	Disabled    *bool            `json:"disabled"`
}

// Targets are a service's own devices, each list by name.
type Targets struct {
	Devices *[]string `json:"devices"`
	Pools   *[]string `json:"pools"`
}

// Retries says how often and after which pause a device is tried again.
type Retries struct {
	Count *int      `json:"count"`
	Wait  *Duration `json:"wait"`
}

// Become is the user of the device that the script runs as.
type Become struct {
	User   *string `json:"user"`
	Method *string `json:"method"`
}

// User is an account of the installation.
type User struct {
	Name         *string     `json:"name"`
	Role         *string     `json:"role"`
	Password     *job.Secret `json:"password"`
	PasswordEnv  *string     `json:"password_env"`
	PasswordFile *string     `json:"password_file"`
}

// Duration is written like 30s, 1m30s or 2h.
type Duration time.Duration

// StopAfter is written as a number of devices, such as 3, or as a percentage, such
// as 10%.
type StopAfter job.StopAfter

// Problem is one thing that is wrong. Line and Column count from 1; 0 where
// there is no place to name. Field is a path such as devices[3].port.
type Problem struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// String returns "line 3, column 5: devices[0].port: message".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", p.Line, p.Column)
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	return b.String() + p.Message
}

// MaxProblems is how many problems are reported at once.
const MaxProblems = 20

// Error is what is wrong with a file.
type Error struct {
	Problems []Problem // at most MaxProblems, in the file's order
	More     int       // how many others there are
}

// Error returns one problem per line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Inputs are a document as requests to the inventory, in its order.
type Inputs struct {
	Credentials []inventory.CredentialInput
	Pools       []inventory.PoolInput
	Devices     []inventory.DeviceInput
	Services    []inventory.ServiceInput
	Users       []inventory.UserInput
}

// Inputs returns the document's requests.
func (d Document) Inputs() Inputs {
	return Inputs{
		Credentials: each(d.Credentials, Credential.Input),
		Pools:       each(d.Pools, Pool.Input),
		Devices:     each(d.Devices, Device.Input),
		Services:    each(d.Services, Service.Input),
		Users:       each(d.Users, User.Input),
	}
}

func each[F, T any](from []F, to func(F) T) []T {
	out := make([]T, len(from))
	for i, f := range from {
		out[i] = to(f)
	}
	return out
}

// Input returns the request to create or update the credential.
func (c Credential) Input() inventory.CredentialInput {
	return inventory.CredentialInput{Name: value(c.Name), Description: c.Description, Username: c.Username, Password: c.Password,
		PrivateKey: c.PrivateKey, Passphrase: c.Passphrase, BecomePassword: c.BecomePassword}
}

// Input returns the request to create or update the device.
func (d Device) Input() inventory.DeviceInput {
	in := inventory.DeviceInput{Name: value(d.Name), Address: d.Address, Port: d.Port, Platform: d.Platform, Credential: d.Credential,
		Pools: d.Pools, Labels: d.Labels, HostKey: d.HostKey, Jump: d.Jump, Description: d.Description, Vendor: d.Vendor, Model: d.Model,
		Location: d.Location, OperatingSystem: d.OperatingSystem, OSVersion: d.OSVersion}
	if d.SSHAlgorithms != nil {
		legacy := *d.SSHAlgorithms == AlgorithmsLegacy
		in.LegacyAlgorithms = &legacy
	}
	return in
}

// Input returns the request to create or update the pool.
func (p Pool) Input() inventory.PoolInput {
	in := inventory.PoolInput{Name: value(p.Name), Description: p.Description, Query: p.Query}
	if p.Match != nil {
		match := each(*p.Match, func(c Criterion) job.Criterion {
			return job.Criterion{Field: value(c.Field), Op: job.CriterionOp(value(c.Op)), Value: value(c.Value), Invert: value(c.Invert)}
		})
		in.Match = &match
	}
	return in
}

// Input returns the request to create or update the service.
func (s Service) Input() inventory.ServiceInput {
	in := inventory.ServiceInput{Name: value(s.Name), Type: s.Type, Description: s.Description, Body: s.Body,
		Timeout: (*time.Duration)(s.Timeout), Concurrency: s.Concurrency, OnUnknown: s.OnUnknown, OutputLimit: s.OutputLimit,
		RunTimeout: (*time.Duration)(s.RunTimeout), StopAfter: (*job.StopAfter)(s.StopAfter), Payload: s.Payload, Credential: s.Credential, Disabled: s.Disabled}
	if s.Targets != nil {
		in.Devices, in.Pools = s.Targets.Devices, s.Targets.Pools
	}
	if s.Retries != nil {
		in.RetryCount, in.RetryWait = s.Retries.Count, (*time.Duration)(s.Retries.Wait)
	}
	if s.Become != nil {
		in.BecomeUser, in.BecomeMethod = s.Become.User, s.Become.Method
	}
	return in
}

// Input returns the request to create or update the user.
func (u User) Input() inventory.UserInput {
	return inventory.UserInput{Name: value(u.Name), Role: u.Role, Password: u.Password}
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
