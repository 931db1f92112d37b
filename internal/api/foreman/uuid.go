package foreman

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// A task is a run, or one device of a run. Its id has the shape of a random UUID,
// because clients check that, and is made from the run's number and the device's
// place, so that nothing has to be stored to find it again:
//
//	10 bytes   number (7) and place + 1 (3), the run itself being 0, masked
//	 5 bytes   check, a hash of the former and of the tenant, which is the mask's seed
//
// The 30 hex digits of these stand where a random UUID has digits of its own.

const (
	taskBytes  = 10
	checkBytes = 5
)

// runTask is the place of the run itself.
const runTask = -1

// taskID returns the id of the task of a run (place runTask), or of one of its
// devices.
func taskID(tenant string, number int64, place int) string {
	var b [taskBytes + checkBytes]byte
	n, p := uint64(number), uint32(place+1)
	for i := range 7 {
		b[i] = byte(n >> (8 * (6 - i)))
	}
	for i := range 3 {
		b[7+i] = byte(p >> (8 * (2 - i)))
	}
	check := taskCheck(tenant, b[:taskBytes])
	copy(b[taskBytes:], check)
	mask(b[:taskBytes], check)
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-4" + h[12:15] + "-" + string("89ab"[check[0]&3]) + h[15:18] + "-" + h[18:]
}

var uuidPattern = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{4})-4([0-9a-f]{3})-[89ab]([0-9a-f]{3})-([0-9a-f]{12})$`)

// parseTaskID returns what taskID made an id of; ok is false for anything that
// it did not make for this tenant.
func parseTaskID(tenant, id string) (number int64, place int, ok bool) {
	m := uuidPattern.FindStringSubmatch(id)
	if m == nil {
		return 0, 0, false
	}
	b, err := hex.DecodeString(m[1] + m[2] + m[3] + m[4] + m[5])
	if err != nil {
		return 0, 0, false
	}
	mask(b[:taskBytes], b[taskBytes:])
	for _, c := range b[:7] {
		number = number<<8 | int64(c)
	}
	for _, c := range b[7:taskBytes] {
		place = place<<8 | int(c)
	}
	place--
	return number, place, number > 0 && taskID(tenant, number, place) == id
}

func taskCheck(tenant string, what []byte) []byte {
	sum := sha256.Sum256(append([]byte("task\x00"+tenant+"\x00"), what...))
	return sum[:checkBytes]
}

// mask makes neighbours look unlike each other; doing it again undoes it.
func mask(b, seed []byte) {
	sum := sha256.Sum256(seed)
	for i := range b {
		b[i] ^= sum[i]
	}
}
