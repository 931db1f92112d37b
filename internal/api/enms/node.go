package enms

import (
	"hash/fnv"
	"net"
	"os"
)

// nodeNumber returns the host's first hardware address as a number, which is
// what eNMS calls its server's name, or a number made from the host's name
// where there is no such address. It is positive.
func nodeNumber() int64 {
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if n := number(i.HardwareAddr); n > 0 && i.Flags&net.FlagLoopback == 0 {
			return n
		}
	}
	name, _ := os.Hostname()
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum32()) + 1
}

func number(mac net.HardwareAddr) int64 {
	var n int64
	if len(mac) == 6 {
		for _, b := range mac {
			n = n<<8 | int64(b)
		}
	}
	return n
}
