package foreman

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

var uuidV4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestTaskID_ComesBack(t *testing.T) {
	seen := map[string]bool{}
	numbers := []int64{1, 2, 188, 1<<53 - 1}
	for range 200 {
		numbers = append(numbers, 1+rand.Int64N(1<<53-1))
	}
	for _, n := range numbers {
		for _, place := range []int{runTask, 0, 1, 99_999, rand.IntN(100_000)} {
			id := taskID("default", n, place)
			if !uuidV4.MatchString(id) {
				t.Fatalf("%s is no UUID of version 4", id)
			}
			if gotN, gotP, ok := parseTaskID("default", id); !ok || gotN != n || gotP != place {
				t.Fatalf("%s is %d, %d, %v; want %d, %d", id, gotN, gotP, ok, n, place)
			}
			if _, _, ok := parseTaskID("other", id); ok {
				t.Fatalf("%s of one tenant is another's task too", id)
			}
			seen[id] = true
		}
	}
	if len(seen) < 4*len(numbers) {
		t.Errorf("%d ids only", len(seen))
	}
}

func TestTaskID_RefusesWhatItDidNotMake(t *testing.T) {
	good := taskID("default", 188, 0)
	bad := []string{"", "188", good + "0", good[1:], strings.ToUpper(good), strings.ReplaceAll(good, "-", ""),
		"57b07eed-db92-44a5-a98b-dcfb071bcff9", "00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"}
	for i, c := range good {
		if c == '-' {
			continue
		}
		flip := byte('0')
		if c == '0' {
			flip = '1'
		}
		bad = append(bad, good[:i]+string(flip)+good[i+1:])
	}
	for _, id := range bad {
		if n, p, ok := parseTaskID("default", id); ok {
			t.Errorf("%q is taken for task %d, %d", id, n, p)
		}
	}
}
