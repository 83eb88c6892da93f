package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// recordVersion is the "v" of every record. A reader that finds another one
// reads nothing.
const recordVersion = 1

// A record is what is known to have been delivered to a user, or to one of the
// user's devices, as it stands in the bucket:
//
//	{"v":1,"epoch":"c1x9","seq":510,"tickets":[{"seq":490,"until":1767225600}]}
//
// epoch and seq are a place in the stream of the personal channels; the
// tickets are places in the same epoch.
type record struct {
	epoch   string
	seq     uint64 // the highest sequence that a connection of the user has received
	tickets []ticket
}

type recordJSON struct {
	V       int      `json:"v"`
	Epoch   string   `json:"epoch"`
	Seq     uint64   `json:"seq"`
	Tickets []ticket `json:"tickets,omitempty"`
}

var (
	errRecord   = errors.New("not a delivered cursor")
	recordEpoch = regexp.MustCompile(`^[a-z0-9.]{1,64}$`)
)

func (r record) encode() []byte {
	text, err := json.Marshal(recordJSON{recordVersion, r.epoch, r.seq, r.tickets})
	if err != nil {
		panic(err) // numbers and strings always can
	}
	return text
}

// decodeRecord reads a bucket's value. What it can't read counts as no record:
// the user gets what is retained, which is too much rather than too little.
func decodeRecord(text []byte) (record, error) {
	var r recordJSON
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	switch {
	case r.V != recordVersion:
		return record{}, fmt.Errorf("%w: version %d, this Belfry reads %d", errRecord, r.V, recordVersion)
	case !recordEpoch.MatchString(r.Epoch):
		return record{}, fmt.Errorf("%w: its epoch is %.80q", errRecord, r.Epoch)
	}
	return record{r.Epoch, r.Seq, r.Tickets}, nil
}
