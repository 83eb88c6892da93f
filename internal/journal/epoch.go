package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"belfry/internal/bus"
	"belfry/internal/wall"
)

// EpochKey is the stream's metadata that a rotation changes.
const EpochKey = "belfry_epoch"

var epochForm = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// epochOf is the epoch of a stream: when it was created, in ns since 1970, and
// behind a dot its belfry_epoch where it has one. Sequences of another epoch
// mean nothing.
func epochOf(created time.Time, rotated string) string {
	epoch := strconv.FormatInt(created.UnixNano(), 36)
	switch {
	case rotated == "":
		return epoch
	case epochForm.MatchString(rotated):
		return epoch + "." + rotated
	}
	h := fnv.New64a() // written by somebody else: any other spelling is another epoch
	h.Write([]byte(rotated))
	return epoch + ".x" + strconv.FormatUint(h.Sum64(), 36)
}

// wentBack tells whether a stream's epoch is older than one that was seen before:
// it will have been in use then, for other messages.
func wentBack(now standing, seen string) bool {
	created, rotated, _ := strings.Cut(seen, ".")
	then, err := strconv.ParseInt(created, 36, 64)
	if err != nil || now.created.UnixNano() != then {
		return err == nil && now.created.UnixNano() < then
	}
	before, err1 := strconv.ParseUint(rotated, 36, 64)
	after, err2 := strconv.ParseUint(now.rotated, 36, 64)
	return rotated != "" && (now.rotated == "" || err1 == nil && err2 == nil && after < before)
}

// A standing is what the leader says of a stream.
type standing struct {
	epoch   string
	created time.Time
	rotated string // its belfry_epoch
	first   uint64 // at least 1
	last    uint64
}

func (s *sequencer) standing(ctx context.Context) (standing, error) {
	first, last, created, meta, err := s.fetch.state(ctx, s.name)
	if err != nil {
		return standing{}, err
	}
	s.heedLayout(meta)
	rotated := meta[EpochKey]
	return standing{epochOf(created, rotated), created, rotated, max(first, 1), last}, nil
}

// heedLayout tells, once, that a newer Belfry has raised the stream's layout
// under a running gateway. The newer one writes nothing that we misread while we
// run, so we go on; a start would be refused from now on.
func (s *sequencer) heedLayout(meta map[string]string) {
	if err := bus.CheckLayout(s.name, meta); errors.Is(err, bus.ErrMisconfigured) && !s.outdated.Swap(true) {
		s.log.Warn("a newer Belfry has raised the stream's layout: this gateway goes on beside it, and would not start again; upgrade it too", "layout", meta[bus.LayoutKey], "known", bus.Layout)
	}
}

// Rotate gives a stream, by its name in NATS, another epoch and returns it once
// it reads back as written: every client that comes with an older position is
// told reset. It is a step of restoring a stream from a copy: sequences that
// were given out before are given out again, for other messages. Running
// gateways see it within 10 s.
//
// Only the stream's metadata is changed, whatever stream.manage says. It needs
// the rights of bus.ChangeMetadata.
func Rotate(ctx context.Context, b *bus.Bus, stream string) (epoch string, err error) {
	if err := b.ChangeMetadata(ctx, stream, func(meta map[string]string) { meta[EpochKey] = FreshEpoch(meta[EpochKey]) }); err != nil {
		return "", fmt.Errorf("rotate the epoch of stream %s: %w", stream, err)
	}
	// Another one may have been as quick: then its epoch counts, which is as new.
	if epoch, err = Epoch(ctx, b, stream); err != nil {
		return "", fmt.Errorf("rotate the epoch of stream %s: read it back: %w", stream, err)
	}
	return epoch, nil
}

// FreshEpoch is a value for EpochKey. It is the time in ns: none comes twice,
// whatever copy is restored.
//
// Where the value before, if there is one, is of a clock that was ahead, it is the
// next one: epochs go forward.
func FreshEpoch(before string) string {
	fresh := uint64(wall.Now().UnixNano())
	if last, err := strconv.ParseUint(before, 36, 64); err == nil && last >= fresh && last < math.MaxInt64 {
		fresh = last + 1
	}
	return strconv.FormatUint(fresh, 36)
}

// Epoch asks for a stream's epoch.
func Epoch(ctx context.Context, b *bus.Bus, stream string) (string, error) {
	meta, created, err := b.Metadata(ctx, stream)
	if err != nil {
		return "", err
	}
	return epochOf(created, meta[EpochKey]), nil
}

// rotate gives the stream another epoch because its history is not the one we
// know, unless another gateway has done so. It returns how the stream stands
// then.
func (s *sequencer) rotate(ctx context.Context, known string) (standing, error) {
	if s.pace.jitter > 0 { // all gateways find out at the same moment
		select {
		case <-time.After(rand.N(s.pace.jitter)):
		case <-ctx.Done():
			return standing{}, ctx.Err()
		}
	}
	now, err := s.standing(ctx)
	if err != nil || now.epoch != known {
		return now, err
	}
	if _, err := Rotate(ctx, s.bus, s.name); err != nil {
		return now, err
	}
	s.stats.rotations.Add(1)
	return s.standing(ctx)
}
