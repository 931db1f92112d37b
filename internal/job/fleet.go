package job

import (
	"encoding/json"
	"time"
)

// Meta is what every stored object of the inventory carries. ID is unique
// within tenant and kind and never used again; all references between objects
// are by ID, so a rename touches one object only.
type Meta struct {
	ID        int64     `json:"id"`
	Tenant    string    `json:"tenant"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"`
	Updated   time.Time `json:"updated"`
	UpdatedBy string    `json:"updated_by,omitempty"`

	// Extra holds what only one API family knows, opaque, under the family's
	// key. Nothing but that family reads it.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`

	// Rev is the stored revision that this value was read at; "" for a new
	// object. The store refuses to replace any other revision.
	Rev string `json:"-"`
}

// HostKeyPolicy says how a device's SSH host key is checked.
type HostKeyPolicy string

// The host-key policies.
const (
	HostKeyAcceptNew HostKeyPolicy = "accept-new" // pin the first key seen, refuse any other later
	HostKeyStrict    HostKeyPolicy = "strict"     // a key must be pinned beforehand
	HostKeyOff       HostKeyPolicy = "off"        // not checked
)

// Platforms that this version drives.
const (
	PlatformLinux   = "linux"
	PlatformWindows = "windows"
)

// Device is one thing that runs commands.
type Device struct {
	Meta
	Address          string            `json:"address"`
	Port             int               `json:"port"`
	Platform         string            `json:"platform"`
	CredentialID     int64             `json:"credential_id,omitempty"`
	PoolIDs          []int64           `json:"pool_ids,omitempty"` // static memberships, ascending
	Labels           map[string]string `json:"labels,omitempty"`
	HostKey          HostKeyPolicy     `json:"host_key"`
	JumpID           int64             `json:"jump_id,omitempty"`
	LegacyAlgorithms bool              `json:"legacy_algorithms,omitempty"`

	Description     string `json:"description,omitempty"`
	Vendor          string `json:"vendor,omitempty"`
	Model           string `json:"model,omitempty"`
	Location        string `json:"location,omitempty"`
	OperatingSystem string `json:"operating_system,omitempty"`
	OSVersion       string `json:"os_version,omitempty"`
}

// String is the device's name, with the model in brackets where one is set.
func (d Device) String() string {
	if d.Model == "" {
		return d.Name
	}
	return d.Name + " (" + d.Model + ")"
}

// Criterion is one condition of a dynamic pool. Fields are name, address,
// port, platform, description, vendor, model, location, operating_system,
// os_version and labels.<key>.
type Criterion struct {
	Field  string      `json:"field"`
	Op     CriterionOp `json:"op"`
	Value  string      `json:"value"`
	Invert bool        `json:"invert,omitempty"`
}

// CriterionOp is how a criterion compares.
type CriterionOp string

// The comparisons. Contains ignores case; regex searches anywhere.
const (
	OpEquals   CriterionOp = "equals"
	OpContains CriterionOp = "contains"
	OpRegex    CriterionOp = "regex"
	OpEmpty    CriterionOp = "empty"
)

// Pool is a named set of devices: those that name it (static), or, when Match or
// Query is set, exactly those that meet every criterion and the query at the moment
// of use.
type Pool struct {
	Meta
	Description string      `json:"description,omitempty"`
	Match       []Criterion `json:"match,omitempty"`
	Query       string      `json:"query,omitempty"` // in the search language, see package search
}

// Dynamic reports whether membership is computed.
func (p Pool) Dynamic() bool { return len(p.Match) > 0 || p.Query != "" }

// Credential logs in to devices.
type Credential struct {
	Meta
	Description    string `json:"description,omitempty"`
	Username       string `json:"username"`
	Password       Sealed `json:"password,omitempty"`
	PrivateKey     Sealed `json:"private_key,omitempty"` // PEM
	Passphrase     Sealed `json:"passphrase,omitempty"`  // of PrivateKey
	BecomePassword Sealed `json:"become_password,omitempty"`
}

// BecomeMethod is how another user's rights are taken on a device.
type BecomeMethod string

// The methods.
const (
	BecomeSudo BecomeMethod = "sudo"
	BecomeSu   BecomeMethod = "su"
	BecomeDzdo BecomeMethod = "dzdo"
)

// Become asks for the command to run as another user of the device. The zero
// value runs it as the login user.
type Become struct {
	User   string       `json:"user,omitempty"`
	Method BecomeMethod `json:"method,omitempty"`
}

// TemplateType is the kind of work.
type TemplateType string

// TypeScript runs a script on a host, through its login user's shell.
const TypeScript TemplateType = "script"

// OnUnknown says what happens to a device of which it is not known whether the
// command ran to its end.
type OnUnknown string

// The policies.
const (
	OnUnknownReport OnUnknown = "report" // result unknown, no second command
	OnUnknownRepeat OnUnknown = "repeat" // a further attempt
)

// Retries says how often and after which pause a device is tried again.
type Retries struct {
	Count int           `json:"count"` // further attempts after the first
	Wait  time.Duration `json:"wait"`
}

// Limits bound the work on each device and on the run.
type Limits struct {
	Timeout     time.Duration `json:"timeout"`     // one attempt on one device, from the command's start
	Concurrency int           `json:"concurrency"` // devices (units) at once
	Retries     Retries       `json:"retries"`
	OnUnknown   OnUnknown     `json:"on_unknown"`
	OutputLimit int64         `json:"output_limit,omitempty"` // bytes kept of each stream; 0: DefaultOutputLimit
	// RunTimeout bounds the whole run, from its start; 0: only what the limits
	// above come to.
	RunTimeout time.Duration `json:"run_timeout,omitempty"`
	StopAfter  StopAfter     `json:"stop_after,omitzero"`
	// DefaultTimeout says that nobody asked for Timeout: a command is followed
	// on the session that started it, however long Timeout is.
	DefaultTimeout bool `json:"default_timeout,omitempty"`
}

// StopAfter ends a run early when too many devices failed: no device is begun
// any more once Count of them, or Percent of the run's devices, did not succeed. At
// most one of the fields is set; the zero value never stops.
type StopAfter struct {
	Count   int `json:"count,omitempty"`
	Percent int `json:"percent,omitempty"` // 1 to 100
}

// Of returns how many failed devices stop a run of so many devices; 0: none do.
func (s StopAfter) Of(devices int) int {
	if s.Percent > 0 {
		return max(1, (devices*s.Percent+99)/100)
	}
	return s.Count
}

// Defaults of a service that says nothing else.
const (
	DefaultTimeout     = 60 * time.Second
	DefaultConcurrency = 50
	DefaultRetryWait   = 10 * time.Second
	DefaultOutputLimit = 1 << 20
)

// Targets are the devices that a service or a job is for.
type Targets struct {
	DeviceIDs []int64 `json:"device_ids,omitempty"`
	PoolIDs   []int64 `json:"pool_ids,omitempty"`
}

// Selection is what a job was asked to run on, for those who resolve it again.
type Selection struct {
	Targets
	// Query selects devices in the search language; SavedQueryID does so by a
	// saved query, read whenever the selection is resolved. Where DeviceIDs is not
	// nil they are what is selected, and Query only says it in words.
	Query        string `json:"query,omitempty"`
	SavedQueryID int64  `json:"saved_query_id,omitempty"`
	// Dynamic says that the devices are found when a run starts, for each run
	// anew; else once, at submit.
	Dynamic bool `json:"dynamic,omitempty"`
	// Shuffle puts the devices into a random order.
	Shuffle bool `json:"shuffle,omitempty"`
}

// Empty reports whether nothing is named.
func (t Targets) Empty() bool { return len(t.DeviceIDs) == 0 && len(t.PoolIDs) == 0 }

// Service is a template bound with values, default targets and limits.
type Service struct {
	Meta
	Type        TemplateType    `json:"type"`
	Description string          `json:"description,omitempty"`
	Body        string          `json:"body"`
	Targets     Targets         `json:"targets"`
	Limits      Limits          `json:"limits"`
	Become      Become          `json:"become"`
	Payload     json.RawMessage `json:"payload,omitempty"` // initial payload, a JSON object
	// CredentialID replaces the devices' own credentials; 0: each device's own.
	CredentialID int64 `json:"credential_id,omitempty"`
	Disabled     bool  `json:"disabled,omitempty"`
}

// Role is what a user may do.
type Role string

// The roles, each including the one before.
const (
	Viewer   Role = "viewer"   // read and search
	Operator Role = "operator" // also run and stop
	Admin    Role = "admin"    // everything
)

// Action is a class of operations that a role allows or not.
type Action string

// The actions.
const (
	ActRead   Action = "read"
	ActRun    Action = "run"
	ActChange Action = "change"
)

// Allows reports whether the role may do the action.
func (r Role) Allows(a Action) bool {
	switch r {
	case Admin:
		return a == ActRead || a == ActRun || a == ActChange
	case Operator:
		return a == ActRead || a == ActRun
	case Viewer:
		return a == ActRead
	}
	return false
}

// User is an account. Names are unique in the installation. The hash is in
// PHC string form (argon2id).
type User struct {
	Meta
	Role         Role    `json:"role"`
	PasswordHash string  `json:"password_hash"`
	Tokens       []Token `json:"tokens,omitempty"`
}

// Token lets a program act as a user without the password: it stands in the
// password's place. Only its hash is stored.
type Token struct {
	Name    string     `json:"name"` // unique for the user
	Hash    string     `json:"hash"` // see secret.HashToken
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"` // nil: never
}

// MaxTokens is how many tokens a user may have.
const MaxTokens = 50

// Principal is who makes a call: an authenticated user in its tenant.
type Principal struct {
	Tenant  string
	Name    string
	Role    Role
	Address string // network address of the caller, for the audit record; may be ""
	ByToken bool   // a token stood in the password's place
}

// DefaultTenant is the tenant of a single-tenant installation.
const DefaultTenant = "default"

// HostKey is a key pinned for a device. Event is set when a later connection
// showed another key.
type HostKey struct {
	DeviceID  int64      `json:"device_id"`
	Device    string     `json:"device"`
	Key       string     `json:"key"` // authorized_keys form: type and base64
	Pinned    time.Time  `json:"pinned"`
	PinnedBy  string     `json:"pinned_by"`         // a user, or "" for first use
	Offered   string     `json:"offered,omitempty"` // the other key that was refused last
	OfferedAt *time.Time `json:"offered_at,omitempty"`
	Rev       string     `json:"-"`
}

// AuditEntry records one change or run: who, when, what.
type AuditEntry struct {
	Time    time.Time `json:"time"`
	Tenant  string    `json:"tenant"`
	User    string    `json:"user"`
	Address string    `json:"address,omitempty"`
	Action  string    `json:"action"` // e.g. device.create, run.submit, run.cancel, host_key.accept
	Object  string    `json:"object"` // name or id
	Detail  string    `json:"detail,omitempty"`
}
