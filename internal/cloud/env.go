// Package cloud is the wiring that all Lambda functions share: configuration
// from the environment, AWS clients, the store, the log, the start.
//
// A function says what it needs by the struct that it has Read fill. The
// packages below wire one kind of function each, so that no function links what
// it does not use: front those that answer requests, runs the sweeper, planner,
// executor and finisher the tasks of those names. Package depot is for those
// that keep large values and secrets, bus for those that tell of events.
package cloud

import (
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// Read fills the fields of the struct that cfg points to from environment
// variables. The tag `env:"NAME"` names a field's variable; `env:"NAME,optional"`
// says that it may be missing or empty and the field then stays as it is.
// Embedded structs are filled too. Fields are strings, ints, durations ("36h",
// "90d"), job.Secret or slog.Level.
//
// The error is job.Invalid and names every variable that is missing or wrong,
// never its value.
func Read(cfg any, lookup func(name string) string) error {
	var missing, wrong []string
	each(reflect.ValueOf(cfg).Elem(), func(v reflect.Value, name string, optional bool) {
		text := lookup(name)
		switch {
		case text == "" && optional:
		case text == "":
			missing = append(missing, name)
		default:
			if err := set(v, text); err != nil {
				wrong = append(wrong, name+" "+err.Error())
			}
		}
	})
	switch {
	case len(missing) > 0:
		return job.Errorf(job.Invalid, "missing in the environment: %s", strings.Join(missing, ", "))
	case len(wrong) > 0:
		return job.Errorf(job.Invalid, "wrong in the environment: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// Variables lists the variables that Read would look at.
func Variables(cfg any) []string {
	var names []string
	each(reflect.ValueOf(cfg).Elem(), func(_ reflect.Value, name string, _ bool) { names = append(names, name) })
	return names
}

func each(v reflect.Value, f func(v reflect.Value, name string, optional bool)) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			each(v.Field(i), f)
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("env"), ",")
		if name != "" {
			f(v.Field(i), name, option == "optional")
		}
	}
}

func set(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := duration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(d))
	case slog.Level:
		var l slog.Level
		if err := l.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("is not a level (debug, info, warn, error)")
		}
		v.SetInt(int64(l))
	case int:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("is not a number")
		}
		v.SetInt(int64(n))
	case string, job.Secret:
		v.SetString(text)
	default:
		panic("cloud: a field of type " + v.Type().String() + " cannot be read")
	}
	return nil
}

// duration reads Go's durations and whole days.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("is not a duration such as 36h or 90d")
}
