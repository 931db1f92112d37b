package job

import "slices"

// EffectiveInputs are a template's own inputs and those of the templates that it
// includes, each name once. included are the templates that it includes, and
// those that they include, by id; one that is missing has no inputs.
func EffectiveInputs(t Template, included map[int64]Template) []Input {
	return inputsBelow(t, included, map[int64]bool{})
}

func inputsBelow(t Template, included map[int64]Template, above map[int64]bool) []Input {
	out := slices.Clone(t.Inputs)
	above[t.ID] = true
	defer delete(above, t.ID)
	for _, inc := range t.Includes {
		o, ok := included[inc.TemplateID]
		if !ok || above[o.ID] {
			continue
		}
		for _, in := range inputsBelow(o, included, above) {
			taken := inc.All || slices.Contains(inc.Only, in.Name)
			same := func(other Input) bool { return other.Name == in.Name }
			if taken && !slices.Contains(inc.Except, in.Name) && !slices.ContainsFunc(out, same) {
				out = append(out, in)
			}
		}
	}
	return out
}
