package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/backup"
	"belfry/internal/bus"
	"belfry/internal/config"
	"belfry/internal/journal"
	"belfry/internal/subject"
)

// A BackedUp is one stream of a backup.
type BackedUp struct {
	Stream   string
	Messages uint64
	Last     uint64 // sequence
	Bytes    int64  // in the file
}

// Backup writes the streams and the bucket of delivered cursors into a new file,
// while gateways go on. say gets each stream as it is done; the file has its name
// when all are. natsURL is where NATS is; empty for the one in o.
//
// The bucket comes first: then no cursor is ahead of the copy of its stream.
func Backup(ctx context.Context, o config.Options, natsURL, file string, say func(BackedUp)) error {
	w, err := backup.Create(file)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and a backup is never written over: give it another name", file)
	}
	if err != nil {
		return fmt.Errorf("begin the backup: %w", err)
	}
	defer w.Discard()
	b, err := dialFor(ctx, o, natsURL)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close(context.WithoutCancel(ctx)) }() // there is no store of ours to lose
	c := copying{b: b, domain: o.NATS.Domain, w: w, say: say}
	for _, stream := range []string{bucketOf(b.Names()), b.Names().Notifications(), b.Names().Channels()} {
		if err := c.add(ctx, stream); err != nil {
			return fmt.Errorf("%w\nNothing was written to %s", err, file)
		}
	}
	_, err = w.Commit(backup.Manifest{
		Belfry: build().Version, NATS: b.Conn().ConnectedServerVersion(), Created: time.Now().UTC().Truncate(time.Second),
		Prefix: o.NATS.Prefix, Layout: c.layout,
	})
	if err != nil {
		return fmt.Errorf("finish the backup: %w", err)
	}
	return nil
}

// bucketOf is the stream of the bucket of delivered cursors.
func bucketOf(n subject.Names) string { return "KV_" + n.Cursors() }

// dialFor is bus.Dial, for a command that a person waits for.
func dialFor(ctx context.Context, o config.Options, natsURL string) (*bus.Bus, error) {
	dialing, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	return reach(dialing, o, natsURL)
}

// copying is one call of Backup.
type copying struct {
	b      *bus.Bus
	domain string
	w      *backup.Writer
	say    func(BackedUp)
	layout int
}

func (c *copying) add(ctx context.Context, stream string) error {
	bucket := stream == bucketOf(c.b.Names())
	meta, _, err := c.b.Metadata(ctx, stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && bucket:
		return nil // no gateway has been ready yet
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("there is no stream %s: a gateway makes it when it first starts (has it another --prefix, or durable: false?)", stream)
	case err != nil:
		return fmt.Errorf("look up stream %s: %w", stream, err)
	}
	if err := bus.CheckLayout(stream, meta); err != nil {
		return err
	}
	layout, _ := strconv.Atoi(meta[bus.LayoutKey]) // CheckLayout has read it
	c.layout = max(c.layout, layout)
	epoch := ""
	if !bucket {
		if epoch, err = journal.Epoch(ctx, c.b, stream); err != nil {
			return err
		}
	}
	e, err := c.w.Add(epoch, func(w io.Writer) (backup.Head, error) {
		return backup.Snapshot(ctx, c.b.Conn(), c.domain, stream, w)
	})
	if err != nil {
		return err
	}
	if !bucket {
		now, err := journal.Epoch(ctx, c.b, stream)
		if err != nil {
			return fmt.Errorf("look up stream %s behind its copy, which is only good if it is still the same: %w", stream, err)
		}
		if now != epoch {
			return fmt.Errorf("stream %s was made anew or restored while it was copied: its epoch is another: do it again", stream)
		}
	}
	c.say(BackedUp{e.Stream, e.Messages, e.Last, e.Size})
	return nil
}

// A Restored stream is what Restore has made of a copy.
type Restored struct {
	Stream   string
	Messages uint64
	Last     uint64
	Epoch    string // "" for the bucket
	Kept     int    // delivered cursors that are valid again
	Dropped  int    // those that are not: their users begin as without one
}

// Restore makes the streams and the bucket from a file that Backup wrote, after
// it has checked all of it. Each stream has another epoch from its first moment
// on, so that no client takes a new message for one that it had. Streams that
// exist are deleted with replace, and otherwise an error. say gets each stream
// once it is whole. natsURL is where NATS is; empty for the one in o.
func Restore(ctx context.Context, o config.Options, natsURL, file string, replace bool, say func(Restored)) error {
	f, err := backup.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := dialFor(ctx, o, natsURL)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close(context.WithoutCancel(ctx)) }() // there is no store of ours to lose
	r := restoring{b: b, o: o, f: f, file: file, say: say, epochs: map[string]string{}}
	if err := r.check(); err != nil {
		return err
	}
	there, err := r.there(ctx)
	if err != nil {
		return err
	}
	if len(there) > 0 && !replace {
		return fmt.Errorf("there are streams already: %s\nNothing was changed. To delete them with all that they have, and put the copies of %s in their place: --replace",
			strings.Join(there, ", "), f.Created.Format(time.RFC3339))
	}
	return r.run(ctx)
}

// restoring is one call of Restore.
type restoring struct {
	b      *bus.Bus
	o      config.Options
	f      *backup.File
	file   string
	say    func(Restored)
	epochs map[string]string // of the restored streams
}

// check says whether the file is one for this Belfry and this configuration.
func (r *restoring) check() error {
	if r.f.Layout > bus.Layout {
		return fmt.Errorf("%s has layout %d and this Belfry (%s) knows %d: Belfry %s has written it, so restore with that version or a later one",
			r.file, r.f.Layout, build().Version, bus.Layout, r.f.Belfry)
	}
	if r.f.Prefix != r.o.NATS.Prefix {
		return fmt.Errorf("%s is of nats.prefix %q, and this configuration has %q: restore with the prefix that it was copied with (--prefix)", r.file, r.f.Prefix, r.o.NATS.Prefix)
	}
	if n := r.o.Stream.Replicas; n > 1 && r.b.Conn().ConnectedClusterName() == "" {
		return fmt.Errorf("stream.replicas is %d, and this NATS (%s) is no cluster and keeps one copy: set stream.replicas to auto or 1, or restore to a cluster", n, r.b.Conn().ConnectedUrlRedacted())
	}
	ours := []string{bucketOf(r.b.Names()), r.b.Names().Notifications(), r.b.Names().Channels()}
	for _, e := range r.f.Streams {
		if !slices.Contains(ours, e.Stream) {
			return fmt.Errorf("%s has a copy of stream %s, which is none of Belfry's with this configuration", r.file, e.Stream)
		}
	}
	return nil
}

// there are the streams that exist, with what they have.
func (r *restoring) there(ctx context.Context) (found []string, err error) {
	for _, e := range r.f.Streams {
		s, err := r.b.JetStream().Stream(ctx, e.Stream)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return nil, fmt.Errorf("look up stream %s: %w", e.Stream, err)
		default:
			found = append(found, fmt.Sprintf("%s (%d messages)", e.Stream, s.CachedInfo().State.Msgs))
		}
	}
	return found, nil
}

func (r *restoring) run(ctx context.Context) error {
	for i, e := range r.f.Streams {
		if err := r.stream(ctx, e); err != nil {
			return fmt.Errorf("%w\nThe restore is not finished: %d of %d streams are there again. When the cause is mended, run it again with --replace, before a gateway is started", err, i, len(r.f.Streams))
		}
	}
	return r.finish(ctx)
}

// finish takes the marks away, when all streams are there.
func (r *restoring) finish(ctx context.Context) error {
	for i, e := range r.f.Streams {
		done, err := r.release(ctx, e)
		if err != nil {
			return fmt.Errorf("%w\nThe restore is not finished: all streams are there again, and %d of %d are still marked as unfinished (metadata %s), with which no gateway starts. When the cause is mended, run it again with --replace",
				err, len(r.f.Streams)-i, len(r.f.Streams), bus.RestoringKey)
		}
		r.say(done)
	}
	return nil
}

// release takes the mark from a stream.
func (r *restoring) release(ctx context.Context, e backup.Entry) (Restored, error) {
	done := Restored{Stream: e.Stream, Messages: e.Messages, Last: e.Last, Epoch: r.epochs[e.Stream]}
	if e.Epoch == "" {
		adopted, err := r.cursors(ctx)
		if err != nil {
			return done, err
		}
		done.Kept, done.Dropped = adopted.Kept, adopted.Dropped
	}
	err := r.b.ChangeMetadata(ctx, e.Stream, func(meta map[string]string) { delete(meta, bus.RestoringKey) })
	if err != nil {
		return done, fmt.Errorf("change the metadata of stream %s: %w", e.Stream, err)
	}
	return done, nil
}

// stream puts one copy in its place. It is marked as unfinished until all are.
func (r *restoring) stream(ctx context.Context, e backup.Entry) error {
	if err := r.put(ctx, e); err != nil {
		return err
	}
	if e.Epoch == "" {
		return nil
	}
	epoch, err := journal.Epoch(ctx, r.b, e.Stream)
	r.epochs[e.Stream] = epoch
	return err
}

// put makes a stream of its copy, marked as unfinished.
func (r *restoring) put(ctx context.Context, e backup.Entry) error {
	change := backup.Change{Metadata: map[string]string{bus.RestoringKey: r.file}, Replicas: r.o.Stream.Replicas}
	if e.Epoch != "" {
		_, copied, _ := strings.Cut(e.Epoch, ".")
		change.Metadata[journal.EpochKey] = journal.FreshEpoch(copied)
	}
	copied := func() io.Reader { return r.f.Copy(e.Stream) }
	_, err := backup.Replace(ctx, r.b.Conn(), r.o.NATS.Domain, e.Stream, copied, change)
	if errors.Is(err, backup.ErrReplicas) && r.o.Stream.Replicas == 0 { // from a cluster to a server alone
		return nil
	}
	return err
}

// cursors makes the restored cursors valid for the restored stream.
func (r *restoring) cursors(ctx context.Context) (journal.Adopted, error) {
	of := r.b.Names().Notifications()
	for _, e := range r.f.Streams {
		if e.Stream == of {
			return journal.AdoptCursors(ctx, r.b, r.o.NATS.Domain, e.Epoch, r.epochs[of], e.Last)
		}
	}
	return journal.Adopted{}, fmt.Errorf("%s has delivered cursors and not the stream %s that they are of", r.file, of)
}
