package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// Layout is the version of what Belfry keeps in its streams and in the bucket
	// of cursors; it stands in their metadata under LayoutKey. It is raised with
	// a change that an earlier version would misread, and with the number in a
	// cursor's value ("v") where it is that which changes. A version reads the
	// layout before its own too, and writes nothing that gateways of that layout
	// misread while they run beside it: docs/upgrades.md has what follows.
	//
	// Gateways send each other no messages but through the streams and the
	// bucket, so there is nothing else that a layout is of.
	Layout    = 1
	LayoutKey = "belfry_layout"

	// RestoringKey stands in a stream's metadata while it is being restored, with
	// the name of the file; no gateway starts on a stream that has it, or is ready
	// while one has it.
	RestoringKey = "belfry_restoring"
)

// CheckLayout refuses a stream, or a bucket's, that a newer Belfry has taken
// over, as ErrMisconfigured, since it may keep things there that we would
// misread; and one that is being restored, as what may pass.
func CheckLayout(stream string, meta map[string]string) error {
	if text, ok := meta[LayoutKey]; ok {
		if layout, err := strconv.Atoi(text); err != nil || layout > Layout {
			return fmt.Errorf("%w: stream %s has layout %q and this Belfry knows %d: a newer Belfry has used it, so run that version or a later one, or set another nats.prefix",
				ErrMisconfigured, stream, text, Layout)
		}
	}
	return checkRestored(stream, meta)
}

// ErrRestoring: a stream is there in part.
var ErrRestoring = errors.New("being restored")

func checkRestored(stream string, meta map[string]string) error {
	if file, ok := meta[RestoringKey]; ok {
		return fmt.Errorf("stream %s is %w from %s, or that was broken off: wait for it, or run belfry restore --replace again", stream, ErrRestoring, file)
	}
	return nil
}

// mark writes our layout into the metadata of a stream that has none (made by
// hand, or by a version before there were layouts) or an earlier one. With
// stream.manage: never it does nothing: what has no layout is read as the first.
// Nor does it matter to this version where it can't be written.
func (b *Bus) mark(ctx context.Context, have jetstream.StreamConfig) {
	ours := strconv.Itoa(Layout)
	if b.o.Stream.Manage == "never" || have.Metadata[LayoutKey] == ours {
		return
	}
	err := b.ChangeMetadata(ctx, have.Name, func(meta map[string]string) { meta[LayoutKey] = ours })
	if err != nil {
		b.log.Warn("a stream could not be marked with its layout, so an earlier Belfry may use it later without noticing: give this NATS user the right to $JS.API.STREAM.UPDATE, or set stream.manage: never",
			"stream", have.Name, "layout", ours, "err", err)
		return
	}
	b.log.Info("marked a stream with its layout", "stream", have.Name, "layout", ours, "before", have.Metadata[LayoutKey])
}
