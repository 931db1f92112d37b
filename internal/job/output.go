package job

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"sync"
)

// How outputs are stored: short ones as they are, longer ones packed with gzip,
// in the result's row as long as that stays small, in an object of their own
// otherwise.
const (
	// PlainOutputBytes is the most that is stored unpacked.
	PlainOutputBytes = 512
	// InlineOutputBytes is how much of packed output a result's row takes,
	// counted as it is stored there (base64).
	InlineOutputBytes = 3584
	// MaxUnpackedBytes bounds what unpacking may make of packed output.
	MaxUnpackedBytes = 256 << 20
)

// packers are reused: one writer of package gzip holds more than 800 KiB.
var packers = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// Pack returns o as a result's row holds it. What does not fit there is returned
// as object: the caller writes it to a bucket and sets Output.Blob to its name.
func (o Output) Pack() (packed Output, object []byte) {
	packed = o
	n := len(o.Stdout) + len(o.Stderr)
	if n <= PlainOutputBytes {
		return packed, nil
	}
	packed.Stdout, packed.Stderr = "", ""
	b := packStreams(o.Stdout, o.Stderr)
	if (len(b)+2)/3*4 > InlineOutputBytes {
		return packed, b
	}
	packed.Packed = b
	return packed, nil
}

// packStreams compresses the length of the first stream and both streams.
func packStreams(stdout, stderr string) []byte {
	var buf bytes.Buffer
	w := packers.Get().(*gzip.Writer)
	defer packers.Put(w)
	w.Reset(&buf)
	// Writing to a bytes.Buffer does not fail.
	_, _ = w.Write(binary.AppendUvarint(nil, uint64(len(stdout))))
	_, _ = io.WriteString(w, stdout)
	_, _ = io.WriteString(w, stderr)
	_ = w.Close()
	return buf.Bytes()
}

// Unpack returns o with both streams in clear. object is what Blob names; it is
// not used unless Blob is set. Packed bytes that cannot be read are Corrupt.
func (o Output) Unpack(object []byte) (Output, error) {
	b := o.Packed
	if o.Blob != "" {
		b = object
	} else if b == nil {
		return o, nil
	}
	o.Packed, o.Blob = nil, ""
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return o, Wrap(Corrupt, err, "packed output cannot be read")
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxUnpackedBytes+1))
	if err != nil {
		return o, Wrap(Corrupt, err, "packed output cannot be read")
	}
	n, used := binary.Uvarint(data)
	if used <= 0 || n > uint64(len(data)-used) || len(data) > MaxUnpackedBytes {
		return o, Errorf(Corrupt, "packed output has no valid length")
	}
	data = data[used:]
	o.Stdout, o.Stderr = string(data[:n]), string(data[n:])
	return o, nil
}
