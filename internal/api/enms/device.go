package enms

import (
	"encoding/json"
	"maps"
	"slices"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

type (
	deviceView = dispatch.DeviceView
	deviceIn   = inventory.DeviceInput
)

// deviceModel is eNMS's device. platform, credential, host_key, labels and
// legacy_algorithms are ours: eNMS has no such properties.
func deviceModel(d *dispatch.Dispatcher) *model[deviceView, deviceIn] {
	props := metaProperties[deviceView, deviceIn]("device")
	add := func(p ...property[deviceView, deviceIn]) { props = append(props, p...) }
	add(
		mapped("ip_address", "address", func(v deviceView) string { return v.Address }, func(in *deviceIn) **string { return &in.Address }),
		mapped("description", "", func(v deviceView) string { return v.Description }, func(in *deviceIn) **string { return &in.Description }),
		mapped("vendor", "", func(v deviceView) string { return v.Vendor }, func(in *deviceIn) **string { return &in.Vendor }),
		mapped("model", "", func(v deviceView) string { return v.Model }, func(in *deviceIn) **string { return &in.Model }),
		mapped("location", "", func(v deviceView) string { return v.Location }, func(in *deviceIn) **string { return &in.Location }),
		mapped("operating_system", "", func(v deviceView) string { return v.OperatingSystem }, func(in *deviceIn) **string { return &in.OperatingSystem }),
		mapped("os_version", "", func(v deviceView) string { return v.OSVersion }, func(in *deviceIn) **string { return &in.OSVersion }),
		mapped("platform", "", func(v deviceView) string { return v.Platform }, func(in *deviceIn) **string { return &in.Platform }),
		mapped("host_key", "", func(v deviceView) string { return string(v.HostKey) }, func(in *deviceIn) **string { return &in.HostKey }),
		related("pools", "", func(v deviceView) []string { return v.Pools }, func(in *deviceIn) **[]string { return &in.Pools }),
	)
	credential := mapped("credential", "", func(v deviceView) string { return v.Credential }, func(in *deviceIn) **string { return &in.Credential })
	credential.relation = true
	add(credential,
		property[deviceView, deviceIn]{
			name: "port",
			get:  func(o stored[deviceView]) any { return o.view.Port },
			put: func(e *edit[deviceView, deviceIn], raw json.RawMessage) error {
				n, err := integer("port", raw)
				e.in.Port = &n
				return err
			},
		},
		property[deviceView, deviceIn]{
			name: "legacy_algorithms",
			get:  func(o stored[deviceView]) any { return o.view.LegacyAlgorithms },
			put: func(e *edit[deviceView, deviceIn], raw json.RawMessage) error {
				b := boolean(raw)
				e.in.LegacyAlgorithms = &b
				return nil
			},
		},
		property[deviceView, deviceIn]{
			name: "labels",
			get: func(o stored[deviceView]) any {
				labels := map[string]string{}
				maps.Copy(labels, o.view.Labels)
				return labels
			},
			put: putLabels,
		},
		property[deviceView, deviceIn]{name: "gateways", ours: "jump", relation: true, get: gateways, put: putGateways},
		kept[deviceView, deviceIn]("subtype", ""),
		kept[deviceView, deviceIn]("icon", "router"),
		kept[deviceView, deviceIn]("latitude", "0.0"),
		kept[deviceView, deviceIn]("longitude", "0.0"),
		kept[deviceView, deviceIn]("netmiko_driver", "cisco_ios"),
		kept[deviceView, deviceIn]("napalm_driver", "ios"),
		kept[deviceView, deviceIn]("scrapli_driver", "cisco_iosxe"),
		kept[deviceView, deviceIn]("netconf_driver", "default"),
	)
	for _, text := range []string{"configuration", "operational_data", "specialized_data"} {
		hidden := fixed[deviceView, deviceIn](text, "")
		hidden.get = nil // eNMS keeps the long texts out of answers
		add(hidden)
		for _, stamp := range []string{"status", "update", "failure", "runtime", "duration"} {
			add(readOnly[deviceView, deviceIn]("last_"+text+"_"+stamp, func(stored[deviceView]) any { return "Never" }))
		}
	}
	return newModel(model[deviceView, deviceIn]{
		props:   props,
		meta:    func(v deviceView) job.Meta { return v.Meta },
		renames: true,
		identify: func(in *deviceIn, name string, newName *string, extra map[string]json.RawMessage) {
			in.Name, in.NewName, in.Extra = name, newName, extra
		},
		load: d.Device, save: d.SaveDevices, remove: d.DeleteDevice,
	})
}

func gateways(o stored[deviceView]) any {
	if o.view.Jump == "" {
		return []string{}
	}
	return []string{o.view.Jump}
}

// putGateways takes at most one gateway, the name of the device that is the jump host.
func putGateways(e *edit[deviceView, deviceIn], raw json.RawMessage) error {
	list, err := names("gateways", raw)
	if err != nil {
		return err
	}
	if len(list) > 1 {
		return &job.Error{Code: job.Unsupported, Field: "gateways", Message: "more than one is not available in this version"}
	}
	jump := ""
	if len(list) == 1 {
		jump = list[0]
	}
	e.in.Jump = &jump
	return nil
}

func putLabels(e *edit[deviceView, deviceIn], raw json.RawMessage) error {
	given, err := object("labels", raw)
	if err != nil {
		return err
	}
	labels := make(map[string]string, len(given))
	for _, k := range slices.Sorted(maps.Keys(given)) {
		if labels[k], err = text("labels."+k, given[k]); err != nil {
			return err
		}
	}
	e.in.Labels = &labels
	return nil
}
