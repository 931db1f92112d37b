package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"drover/internal/job"
)

// names are the values behind names, made when first asked for: most texts use
// one or two of them.
type names struct {
	payload *starlark.Dict
	devices *list
	current *device
}

// lookUp finds a bare name: a comprehension's variable, what the system
// offers, the device's variables, the run's variables, the form's fields, and
// last Python's functions.
func (e *evaluation) lookUp(name string) (starlark.Value, error) {
	for i := len(e.bound) - 1; i >= 0; i-- {
		if e.bound[i].name == name {
			return e.bound[i].value, nil
		}
	}
	switch name {
	case "True":
		return starlark.True, nil
	case "False":
		return starlark.False, nil
	case "None", "workflow", "placeholder":
		return starlark.None, nil
	case "payload":
		return e.payload()
	case "device", "parent_device":
		return e.device(), nil
	case "devices":
		return e.devices()
	case "user":
		return e.texts("name", e.env.User.Name, "email", e.env.User.Email)
	case "server":
		return e.texts("ip_address", e.env.Server.Address, "name", e.env.Server.Name, "url", e.env.Server.URL)
	}
	if f, ok := ownFunctions[name]; ok {
		return f, nil
	}
	v, found, err := e.variable(name)
	if err != nil || found {
		return v, err
	}
	if f, ok := pythonFunctions[name]; ok {
		return f, nil
	}
	return nil, failure("NameError", "name '%s' is not defined", name)
}

// variable finds a name among the run's own values.
func (e *evaluation) variable(name string) (starlark.Value, bool, error) {
	payload, err := e.payload()
	if err != nil {
		return nil, false, err
	}
	form, variables := subDict(payload, "form"), subDict(payload, "variables")
	places := []*starlark.Dict{variables, form}
	if e.env.Device != nil {
		places = []*starlark.Dict{subDict(subDict(variables, "devices"), e.env.Device.Name), variables, form}
	}
	for _, d := range places {
		if d == nil {
			continue
		}
		if v, ok, err := e.get(d, starlark.String(name)); err != nil || ok {
			return v, ok, err
		}
	}
	return nil, false, nil
}

// subDict returns the dictionary under a key; nil when there is none.
func subDict(d *starlark.Dict, key string) *starlark.Dict {
	if d == nil {
		return nil
	}
	v, _, err := d.Get(starlark.String(key))
	if err != nil {
		return nil
	}
	sub, _ := v.(*starlark.Dict)
	return sub
}

func (e *evaluation) device() starlark.Value {
	if e.env.Device == nil {
		return starlark.None
	}
	if e.names.current == nil {
		d := newDevice(e.env.Device)
		e.names.current = &d
	}
	return *e.names.current
}

func (e *evaluation) devices() (starlark.Value, error) {
	if e.names.devices != nil {
		return e.names.devices, nil
	}
	var all []job.Device
	switch {
	case e.env.Devices != nil:
		var err error
		if all, err = e.env.Devices(); err != nil {
			return nil, err
		}
	case e.env.Device != nil:
		all = []job.Device{*e.env.Device}
	}
	if err := e.allocN(int64(len(all)), 2*sizeValue); err != nil {
		return nil, err
	}
	elems := make([]starlark.Value, len(all))
	for i := range all {
		elems[i] = newDevice(&all[i])
	}
	e.names.devices = newList(elems)
	return e.names.devices, nil
}

// texts makes a dictionary of keys and strings in turn.
func (e *evaluation) texts(pairs ...string) (starlark.Value, error) {
	d := new(starlark.Dict)
	for i := 0; i < len(pairs); i += 2 {
		if err := e.setKey(d, starlark.String(pairs[i]), starlark.String(pairs[i+1])); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// attribute is v.name: a fixed list for devices, methods for the rest.
func (e *evaluation) attribute(v starlark.Value, name string) (starlark.Value, error) {
	if d, ok := v.(device); ok {
		return e.deviceAttribute(d, name)
	}
	if f, ok := methods[typeName(v)][name]; ok {
		if err := e.alloc(4 * sizeValue); err != nil {
			return nil, err
		}
		return newFunction(name, func(e *evaluation, a *arguments) (starlark.Value, error) { return f(e, v, a) }), nil
	}
	if why, ok := refusedMethods[typeName(v)+"."+name]; ok {
		return nil, unsupported("%s.%s is not supported: %s", typeName(v), name, why)
	}
	return nil, failure("AttributeError", "'%s' object has no attribute '%s'", typeName(v), name)
}

func (e *evaluation) deviceAttribute(d device, name string) (starlark.Value, error) {
	switch name {
	case "id":
		return starlark.MakeInt64(d.ID), nil
	case "port":
		return starlark.MakeInt(d.Port), nil
	case "labels":
		pairs := make([]string, 0, 2*len(d.Labels))
		for _, k := range slices.Sorted(maps.Keys(d.Labels)) {
			pairs = append(pairs, k, d.Labels[k])
		}
		return e.texts(pairs...)
	case "get_neighbors":
		return nil, unsupported("device.get_neighbors is not supported: there are no links")
	}
	text, ok := deviceText(d.Device, name)
	if !ok {
		text, ok = d.Labels[name]
	}
	if !ok {
		return nil, failure("AttributeError", "'Device' object has no attribute '%s'", name)
	}
	return starlark.String(text), nil
}

// deviceText is a property that is text.
func deviceText(d *job.Device, name string) (string, bool) {
	switch name {
	case "name":
		return d.Name, true
	case "address", "ip_address":
		return d.Address, true
	case "platform":
		return d.Platform, true
	case "description":
		return d.Description, true
	case "vendor":
		return d.Vendor, true
	case "model":
		return d.Model, true
	case "location":
		return d.Location, true
	case "operating_system":
		return d.OperatingSystem, true
	case "os_version":
		return d.OSVersion, true
	}
	return "", false
}

// payload decodes the payload once. It is not charged: it was accepted with its
// size, and decoding takes a fixed multiple of that.
func (e *evaluation) payload() (*starlark.Dict, error) {
	if e.names.payload != nil {
		return e.names.payload, nil
	}
	d := new(starlark.Dict)
	if raw := bytes.TrimSpace(e.env.Payload); len(raw) > 0 {
		var err error
		if d, err = payloads.decode(raw); err != nil {
			return nil, err
		}
	}
	e.names.payload = d
	return d, nil
}

// decodePayload reads a JSON object.
func decodePayload(raw []byte) (*starlark.Dict, error) {
	v, err := decodeJSON(raw)
	if err != nil {
		return nil, job.Wrap(job.Invalid, err, "the payload cannot be read")
	}
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil, job.Errorf(job.Invalid, "the payload is not a JSON object")
	}
	return d, nil
}

// decodeJSON reads one JSON value, with its keys in their order.
func decodeJSON(raw []byte) (starlark.Value, error) {
	if !json.Valid(raw) { // also bounds the depth
		return nil, errors.New("it is not valid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return decodeValue(dec)
}

func decodeValue(dec *json.Decoder) (starlark.Value, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(t), nil
	case string:
		return starlark.String(t), nil
	case json.Number:
		return decodeNumber(string(t))
	case json.Delim:
		if t == '[' {
			return decodeArray(dec)
		}
		return decodeObject(dec)
	}
	return nil, errors.New("it is not valid JSON")
}

func decodeArray(dec *json.Decoder) (starlark.Value, error) {
	var elems []starlark.Value
	for dec.More() {
		v, err := decodeValue(dec)
		if err != nil {
			return nil, err
		}
		elems = append(elems, v)
	}
	_, err := dec.Token()
	return newList(elems), err
}

// emptyDict stands for every empty object of a payload: a dictionary of its own
// would take two hundred times as much as the two bytes that ask for it.
var emptyDict = func() *starlark.Dict {
	d := new(starlark.Dict)
	d.Freeze()
	return d
}()

func decodeObject(dec *json.Decoder) (starlark.Value, error) {
	if !dec.More() {
		_, err := dec.Token()
		return emptyDict, err
	}
	d := new(starlark.Dict)
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(dec)
		if err != nil {
			return nil, err
		}
		if err := d.SetKey(starlark.String(k.(string)), v); err != nil {
			return nil, err
		}
	}
	d.Freeze() // renderings that share it may then read it at once
	_, err := dec.Token()
	return d, err
}

// decodeNumber keeps whole numbers whole, and reads 1e999 as infinity, as
// Python does.
func decodeNumber(s string) (starlark.Value, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return starlark.MakeInt64(i), nil
	}
	if n, ok := parseInt(s, 10); ok {
		return n, nil
	}
	if strings.Trim(s, "-0123456789") == "" {
		return nil, errors.New("it holds an integer that is too large")
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, err
	}
	return starlark.Float(f), nil
}
