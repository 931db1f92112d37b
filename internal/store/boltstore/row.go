package boltstore

import (
	"encoding/binary"
	"strconv"

	"drover/internal/job"
	"drover/internal/store"
)

// A row is stored under the length of its partition (2 bytes), partition and
// sort: partitions are contiguous and no partition is a prefix of another. Its
// value is led by the revision and the expiry.
const rowHead = 16

func rowKey(k store.Key) []byte {
	b := make([]byte, 0, 2+len(k.Partition)+len(k.Sort))
	b = partitionKey(b, k.Partition)
	return append(b, k.Sort...)
}

func partitionKey(b []byte, partition string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(partition)))
	return append(b, partition...)
}

func encodeRow(rev uint64, expires int64, value []byte) []byte {
	b := make([]byte, 0, rowHead+len(value))
	b = binary.BigEndian.AppendUint64(b, rev)
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	return append(b, value...)
}

// decodeRow returns the parts of a stored row. The value aliases b.
func decodeRow(b []byte) (rev uint64, expires int64, value []byte, err error) {
	if len(b) < rowHead {
		return 0, 0, nil, job.Errorf(job.Corrupt, "the data file holds a row of %d bytes; every row has at least %d", len(b), rowHead)
	}
	return binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), b[rowHead:], nil
}

func revToken(rev uint64) string { return strconv.FormatUint(rev, 36) }

// The expiry index orders everything that expires by time: second, the bucket
// it lies in, key.
const (
	indexHead    = 9
	kindRow      = 'r'
	kindCounter  = 'c'
	counterBytes = 16 // value, expiry
)

func indexKey(expires int64, kind byte, key []byte) []byte {
	b := make([]byte, 0, indexHead+len(key))
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	b = append(b, kind)
	return append(b, key...)
}

func encodeCounter(value, expires int64) []byte {
	b := make([]byte, 0, counterBytes)
	b = binary.BigEndian.AppendUint64(b, uint64(value))
	return binary.BigEndian.AppendUint64(b, uint64(expires))
}

func decodeCounter(b []byte) (value, expires int64, err error) {
	if len(b) != counterBytes {
		return 0, 0, job.Errorf(job.Corrupt, "the data file holds a counter of %d bytes; every counter has %d", len(b), counterBytes)
	}
	return int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])), nil
}
