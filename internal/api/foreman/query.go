package foreman

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// hostsQuery is the query that names hosts given by host_ids.
func hostsQuery(names []string) string { return "name ^ (" + strings.Join(names, ", ") + ")" }

// rerunQuery is the query of a job that runs again on some hosts.
func rerunQuery(names []string) string { return "name ^ (" + strings.Join(names, ",") + ")" }

// erf writes a message with upstream's error code in front, which it makes of
// the class and of the message.
func erf(format string, args ...any) string {
	message := fmt.Sprintf(format, args...)
	code := func(s string, mod uint32) uint32 { return crc32.ChecksumIEEE([]byte(s)) % mod }
	return fmt.Sprintf("ERF%02d-%04d [Foreman::Exception]: %s", code("Exception", 100), code(message, 10_000), message)
}
