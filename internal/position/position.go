// Package position spells where a client stands, so that it can come back
// there: to clients an opaque string, the same in every dialect, in the API and
// on the command line.
//
// A position has a part for each stream that it speaks of, joined by "_":
// <tag>-<epoch>-<sequence>, the sequence in lower-case base36, as in
// "n-c1x9-7x_c-c1xa.2-1a". It says "everything up to here": all publications of
// that stream up to that sequence, on the channels that were being read.
package position

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Stream is one ordered sequence of publications. The zero value is none: a
// publication that was not stored.
type Stream uint8

const (
	None          Stream = iota
	Notifications        // the personal channels
	Channels             // all others
	end
)

// Count is how many streams there are.
const Count = int(end) - 1

var tags = [Count]string{"n", "c"}

// All are the streams, in the order of their parts.
func All() [Count]Stream { return [Count]Stream{Notifications, Channels} }

// Of is the stream of a channel, by its name.
func Of(channel string) Stream {
	if strings.HasPrefix(channel, "#") {
		return Notifications
	}
	return Channels
}

// String names the stream in logs and metrics.
func (s Stream) String() string {
	switch s {
	case Notifications:
		return "notifications"
	case Channels:
		return "channels"
	}
	return "none"
}

// A Mark is a place in one stream: behind the message of that sequence. The
// zero value is no place. Sequences of different epochs can't be compared.
type Mark struct {
	Epoch string // [a-z0-9.]+
	Seq   uint64
}

// A Position is a place in each stream, or in some. The zero value is none.
type Position [Count]Mark

// Get is the place in a stream, the zero Mark where the position has none.
func (p Position) Get(s Stream) Mark { return p[s-1] }

// With is p with another place in a stream.
func (p Position) With(s Stream, m Mark) Position {
	p[s-1] = m
	return p
}

// Only is p without the parts of other streams.
func (p Position) Only(streams ...Stream) (only Position) {
	for _, s := range streams {
		only[s-1] = p[s-1]
	}
	return only
}

// IsZero tells whether p has no part.
func (p Position) IsZero() bool { return p == Position{} }

// String is what clients are given: "" for a position without parts.
func (p Position) String() string { return string(p.Append(nil)) }

// Append appends the string to dst.
func (p Position) Append(dst []byte) []byte {
	first := true
	for i, m := range p {
		if m.Epoch == "" {
			continue
		}
		if !first {
			dst = append(dst, '_')
		}
		first = false
		dst = append(append(append(dst, tags[i]...), '-'), m.Epoch...)
		dst = strconv.AppendUint(append(dst, '-'), m.Seq, 36)
	}
	return dst
}

// ErrMalformed is what Parse's errors wrap.
var ErrMalformed = errors.New("not a position")

// maxLength is far beyond any position of ours.
const maxLength = 256

var part = regexp.MustCompile(`^([a-z]+)-([a-z0-9.]{1,64})-([0-9a-z]{1,13})$`)

// Parse reads what String made. Parts of streams that this gateway does not
// have are an error, as is anything else that String would not have made.
func Parse(s string) (p Position, err error) {
	if len(s) > maxLength {
		return p, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxLength)
	}
	for text := range strings.SplitSeq(s, "_") {
		fields := part.FindStringSubmatch(text)
		if fields == nil {
			return Position{}, fmt.Errorf("%w: part %q is not <tag>-<epoch>-<sequence>", ErrMalformed, text)
		}
		seq, err := strconv.ParseUint(fields[3], 36, 64)
		if err != nil {
			return Position{}, fmt.Errorf("%w: the sequence in %q is too large", ErrMalformed, text)
		}
		stream := None
		for i, tag := range tags {
			if tag == fields[1] {
				stream = Stream(i + 1)
			}
		}
		if stream == None || p.Get(stream).Epoch != "" {
			return Position{}, fmt.Errorf("%w: part %q is of no stream, or of one that is there already", ErrMalformed, text)
		}
		p = p.With(stream, Mark{fields[2], seq})
	}
	if p.String() != s {
		return Position{}, fmt.Errorf("%w: %q is not in canonical form", ErrMalformed, s)
	}
	return p, nil
}
