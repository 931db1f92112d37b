package secret

import (
	"slices"

	"drover/internal/job"
)

// The default of a hidden input is sealed to the tenant alone: a copy of a
// template has the same one.

func defaultAAD(tenant string) string { return AAD(tenant, "input", 0, "default") }

// SealDefaults seals the defaults of hidden inputs, in place. One that is
// job.Redacted stays what it was; a value that had, the inputs as they are
// stored, have under the same id stays sealed as it is there. An input that is
// hidden no longer loses its default.
func (b *Box) SealDefaults(tenant string, inputs, had []job.Input) error {
	for i := range inputs {
		in := &inputs[i]
		switch {
		case in.DefaultSealed.Set() && in.Default != nil && *in.Default == job.Redacted:
			if !in.Hidden {
				in.Default, in.DefaultSealed = nil, nil
			}
			continue
		case !in.Hidden || in.Default == nil || *in.Default == "":
			in.DefaultSealed = nil
			continue
		}
		if j := slices.IndexFunc(had, func(o job.Input) bool { return o.ID == in.ID }); j >= 0 && in.ID != 0 {
			if v, err := b.Open(had[j].DefaultSealed, defaultAAD(tenant)); err == nil && v.Reveal() == *in.Default {
				in.DefaultSealed = had[j].DefaultSealed
				redacted := job.Redacted
				in.Default = &redacted
				continue
			}
		}
		sealed, err := b.Seal(job.Secret(*in.Default), defaultAAD(tenant))
		if err != nil {
			return err
		}
		redacted := job.Redacted
		in.Default, in.DefaultSealed = &redacted, sealed
	}
	return nil
}

// OpenDefaults returns inputs with the defaults of hidden ones in clear, for who
// renders a template.
func (b *Box) OpenDefaults(tenant string, inputs []job.Input) ([]job.Input, error) {
	out := inputs
	for i, in := range inputs {
		if !in.DefaultSealed.Set() {
			continue
		}
		v, err := b.Open(in.DefaultSealed, defaultAAD(tenant))
		if err != nil {
			return nil, err
		}
		if &out[0] == &inputs[0] {
			out = slices.Clone(inputs)
		}
		clear := v.Reveal()
		out[i].Default, out[i].DefaultSealed = &clear, nil
	}
	return out, nil
}
