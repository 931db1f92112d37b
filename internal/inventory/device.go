package inventory

import (
	"slices"

	"drover/internal/job"
)

// References returns the names that the input mentions.
func (in DeviceInput) References() References {
	return References{
		Devices:     sortedNames(some(in.Jump)),
		Pools:       sortedNames(list(in.Pools)),
		Credentials: sortedNames(some(in.Credential)),
	}
}

// Apply returns base with the input's changes. With create, base holds only
// what the caller decides (identity, stamps), and the defaults are filled in.
//
// Neither base nor the input is modified, and what has not changed may be
// shared with base. The result has nil for every empty list and map that was
// given, and equals base by reflect.DeepEqual when nothing changed. Stamps and
// revision are the caller's. A pinned host key is not part of a
// device: see PinnedKey.
func (in DeviceInput) Apply(base job.Device, create bool, refs Refs) (job.Device, error) {
	d := base
	if create {
		d.Port, d.Platform, d.HostKey = DefaultPort, job.PlatformLinux, job.HostKeyAcceptNew
	}
	var err error
	if d.Name, err = rename("device", base.Name, in.Name, in.NewName, create); err != nil {
		return job.Device{}, err
	}
	err = firstError(
		func() error { return in.setReach(&d, create) },
		func() error { return in.setRelations(&d, refs) },
		func() error { return setLabels(in.Labels, &d.Labels) },
		func() error { return setDescription(in.Description, &d.Description) },
		func() error { return setLine("vendor", in.Vendor, &d.Vendor) },
		func() error { return setLine("model", in.Model, &d.Model) },
		func() error { return setLine("location", in.Location, &d.Location) },
		func() error { return setLine("operating_system", in.OperatingSystem, &d.OperatingSystem) },
		func() error { return setLine("os_version", in.OSVersion, &d.OSVersion) },
		func() error { return setExtra(in.Extra, &d.Extra) },
	)
	if err != nil {
		return job.Device{}, err
	}
	return d, nil
}

// PinnedKey returns the host key that the input asks to pin, in normal form,
// and whether there is one.
func (in DeviceInput) PinnedKey() (string, bool, error) {
	if in.HostKey == nil {
		return "", false, nil
	}
	_, key, err := parseHostKeyField(*in.HostKey)
	return key, key != "", err
}

// setReach sets what a connection needs.
func (in DeviceInput) setReach(d *job.Device, create bool) error {
	if in.Address != nil || create {
		var address string
		if in.Address != nil {
			address = *in.Address
		}
		if err := validAddress(address); err != nil {
			return err
		}
		d.Address = address
	}
	if err := inRange("port", in.Port, 1, 65535, &d.Port); err != nil {
		return err
	}
	if in.Platform != nil {
		switch *in.Platform {
		case job.PlatformLinux, job.PlatformWindows:
			d.Platform = *in.Platform
		default:
			return unsupported("platform", "the platform %.60q is not supported; %s and %s are", *in.Platform, job.PlatformLinux, job.PlatformWindows)
		}
	}
	if in.HostKey != nil {
		policy, _, err := parseHostKeyField(*in.HostKey)
		if err != nil {
			return err
		}
		d.HostKey = policy
	}
	if in.LegacyAlgorithms != nil {
		d.LegacyAlgorithms = *in.LegacyAlgorithms
	}
	return nil
}

func (in DeviceInput) setRelations(d *job.Device, refs Refs) error {
	if err := setRef("credential", "credential", in.Credential, refs.Credentials, &d.CredentialID); err != nil {
		return err
	}
	if in.Jump != nil && *in.Jump == in.Name {
		return job.FieldErrorf("jump", "a device cannot be its own jump host")
	}
	if err := setRef("jump", "device", in.Jump, refs.Devices, &d.JumpID); err != nil {
		return err
	}
	if d.JumpID != 0 && d.JumpID == d.ID {
		return job.FieldErrorf("jump", "a device cannot be its own jump host")
	}
	if in.Pools == nil {
		return nil
	}
	ids, err := lookUpAll("pools", "pool", *in.Pools, refs.Pools)
	if err != nil {
		return err
	}
	for _, name := range *in.Pools {
		if refs.Dynamic[refs.Pools[name]] {
			return job.FieldErrorf("pools", "the members of pool %q are computed; a device cannot be put into it", name)
		}
	}
	slices.Sort(ids)
	d.PoolIDs = ids
	return nil
}
