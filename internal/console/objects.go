package console

import (
	"context"
	"encoding/json"
	"time"

	"drover/internal/dispatch"
	"drover/internal/fleet"
	"drover/internal/job"
)

// The objects of the inventory, as callers see them: the fields of the fleet
// file, and who made and changed them when.

type wireMeta struct {
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
	Updated   time.Time `json:"updated"`
	UpdatedBy string    `json:"updated_by"`
}

func metaOf(m job.Meta) wireMeta {
	return wireMeta{m.Name, m.Created.UTC(), m.CreatedBy, m.Updated.UTC(), m.UpdatedBy}
}

type wireDevice struct {
	wireMeta
	Address         string            `json:"address"`
	Port            int               `json:"port"`
	Platform        string            `json:"platform"`
	Credential      string            `json:"credential"`
	Pools           []string          `json:"pools"`
	Labels          map[string]string `json:"labels"`
	HostKey         string            `json:"host_key"`
	Jump            string            `json:"jump"`
	SSHAlgorithms   string            `json:"ssh_algorithms"`
	Description     string            `json:"description"`
	Vendor          string            `json:"vendor"`
	Model           string            `json:"model"`
	Location        string            `json:"location"`
	OperatingSystem string            `json:"operating_system"`
	OSVersion       string            `json:"os_version"`
}

func deviceOf(v dispatch.DeviceView) wireDevice {
	w := wireDevice{wireMeta: metaOf(v.Meta), Address: v.Address, Port: v.Port, Platform: v.Platform, Credential: v.Credential,
		Pools: list(v.Pools), Labels: v.Labels, HostKey: string(v.HostKey), Jump: v.Jump, SSHAlgorithms: fleet.AlgorithmsDefault,
		Description: v.Description, Vendor: v.Vendor, Model: v.Model, Location: v.Location, OperatingSystem: v.OperatingSystem, OSVersion: v.OSVersion}
	if w.Labels == nil {
		w.Labels = map[string]string{}
	}
	if v.LegacyAlgorithms {
		w.SSHAlgorithms = fleet.AlgorithmsLegacy
	}
	return w
}

// wirePool lists its devices when it is asked for alone.
type wirePool struct {
	wireMeta
	Description string          `json:"description"`
	Match       []job.Criterion `json:"match"`
	Query       string          `json:"query,omitempty"`
	Devices     *[]string       `json:"devices,omitempty"`
}

func poolOf(p job.Pool) wirePool {
	w := wirePool{wireMeta: metaOf(p.Meta), Description: p.Description, Match: p.Match, Query: p.Query}
	if w.Match == nil {
		w.Match = []job.Criterion{}
	}
	return w
}

func poolViewOf(v dispatch.PoolView) wirePool {
	w := poolOf(v.Pool)
	devices := list(v.Devices)
	w.Devices = &devices
	return w
}

// wireCredential says which secrets are set, never what they are.
type wireCredential struct {
	wireMeta
	Description       string `json:"description"`
	Username          string `json:"username"`
	HasPassword       bool   `json:"has_password"`
	HasPrivateKey     bool   `json:"has_private_key"`
	HasPassphrase     bool   `json:"has_passphrase"`
	HasBecomePassword bool   `json:"has_become_password"`
}

func credentialOf(v dispatch.CredentialView) wireCredential {
	return wireCredential{metaOf(v.Meta), v.Description, v.Username, v.HasPassword, v.HasPrivateKey, v.HasPassphrase, v.HasBecomePassword}
}

// wireService has its body and payload when it is asked for alone.
type wireService struct {
	wireMeta
	Type        string           `json:"type"`
	Description string           `json:"description"`
	Targets     wireTargets      `json:"targets"`
	Timeout     string           `json:"timeout"`
	Concurrency int              `json:"concurrency"`
	Retries     wireRetries      `json:"retries"`
	OnUnknown   string           `json:"on_unknown"`
	OutputLimit int64            `json:"output_limit"`
	Become      wireBecome       `json:"become"`
	Credential  string           `json:"credential"`
	Disabled    bool             `json:"disabled"`
	RunTimeout  string           `json:"run_timeout,omitempty"`
	StopAfter   any              `json:"stop_after,omitempty"`
	Body        *string          `json:"body,omitempty"`
	Payload     *json.RawMessage `json:"payload,omitempty"`
}

type wireTargets struct {
	Devices []string `json:"devices"`
	Pools   []string `json:"pools"`
}

type wireRetries struct {
	Count int    `json:"count"`
	Wait  string `json:"wait"`
}

type wireBecome struct {
	User   string `json:"user"`
	Method string `json:"method"`
}

func serviceOf(v dispatch.ServiceView) wireService {
	l := v.Limits
	w := wireService{wireMeta: metaOf(v.Meta), Type: string(v.Type), Description: v.Description,
		Targets: wireTargets{list(v.Devices), list(v.Pools)}, Timeout: l.Timeout.String(), Concurrency: l.Concurrency,
		Retries: wireRetries{l.Retries.Count, l.Retries.Wait.String()}, OnUnknown: string(l.OnUnknown), OutputLimit: l.OutputLimit,
		Become: wireBecome{v.Become.User, string(v.Become.Method)}, Credential: v.Credential, Disabled: v.Disabled,
		StopAfter: wireStopAfter(l.StopAfter)}
	if l.RunTimeout > 0 {
		w.RunTimeout = l.RunTimeout.String()
	}
	return w
}

func wholeServiceOf(v dispatch.ServiceView) wireService {
	w := serviceOf(v)
	payload := v.Payload
	if payload == nil {
		payload = json.RawMessage("{}")
	}
	w.Body, w.Payload = &v.Body, &payload
	return w
}

type wireUser struct {
	wireMeta
	Tenant string   `json:"tenant"`
	Role   job.Role `json:"role"`
}

func userOf(u job.User) wireUser { return wireUser{metaOf(u.Meta), u.Tenant, u.Role} }

// page answers with a page of a listing under its name.
func page[V, W any](c call, name string, read func(ctx context.Context, p job.Principal, q dispatch.Page) ([]V, string, error), to func(V) W) (answer, error) {
	return c.listing(200, func(limit int, after string) (any, error) {
		vs, next, err := read(c.Context(), c.p, dispatch.Page{Limit: limit, After: after})
		ws := make([]W, len(vs))
		for i, v := range vs {
			ws[i] = to(v)
		}
		return map[string]any{name: ws, "next": next}, err
	})
}

// one answers with the object that the path names, which read or deleted it.
func one[V, W any](c call, do func(ctx context.Context, p job.Principal, name string) (V, error), to func(V) W) (answer, error) {
	v, err := do(c.Context(), c.p, c.PathValue("name"))
	if err != nil {
		return answer{}, err
	}
	return answer{body: to(v)}, nil
}

func (s *server) devices(c call) (answer, error) {
	return page(c, "devices", s.Dispatch.Devices, deviceOf)
}
func (s *server) device(c call) (answer, error) { return one(c, s.Dispatch.Device, deviceOf) }
func (s *server) deleteDevice(c call) (answer, error) {
	return one(c, s.Dispatch.DeleteDevice, deviceOf)
}
func (s *server) pools(c call) (answer, error)      { return page(c, "pools", s.Dispatch.Pools, poolOf) }
func (s *server) pool(c call) (answer, error)       { return one(c, s.Dispatch.Pool, poolViewOf) }
func (s *server) deletePool(c call) (answer, error) { return one(c, s.Dispatch.DeletePool, poolViewOf) }
func (s *server) credentials(c call) (answer, error) {
	return page(c, "credentials", s.Dispatch.Credentials, credentialOf)
}
func (s *server) credential(c call) (answer, error) {
	return one(c, s.Dispatch.Credential, credentialOf)
}
func (s *server) deleteCredential(c call) (answer, error) {
	return one(c, s.Dispatch.DeleteCredential, credentialOf)
}
func (s *server) services(c call) (answer, error) {
	return page(c, "services", s.Dispatch.Services, serviceOf)
}
func (s *server) service(c call) (answer, error) { return one(c, s.Dispatch.Service, wholeServiceOf) }
func (s *server) deleteService(c call) (answer, error) {
	return one(c, s.Dispatch.DeleteService, wholeServiceOf)
}
func (s *server) users(c call) (answer, error)      { return page(c, "users", s.Dispatch.Users, userOf) }
func (s *server) user(c call) (answer, error)       { return one(c, s.Dispatch.User, userOf) }
func (s *server) deleteUser(c call) (answer, error) { return one(c, s.Dispatch.DeleteUser, userOf) }

type wireAudit struct {
	Time    time.Time `json:"time"`
	User    string    `json:"user"`
	Address string    `json:"address"`
	Action  string    `json:"action"`
	Object  string    `json:"object"`
	Detail  string    `json:"detail"`
}

func (s *server) audit(c call) (answer, error) {
	return page(c, "audit", s.Dispatch.Audit, func(e job.AuditEntry) wireAudit {
		return wireAudit{e.Time.UTC(), e.User, e.Address, e.Action, e.Object, e.Detail}
	})
}
