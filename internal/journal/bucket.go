package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus"
)

// cursorInfoTimeout bounds one question to JetStream about the bucket.
const cursorInfoTimeout = 5 * time.Second

// ensure sees to it that the bucket exists and is fit for use, as
// stream.manage says. It is as old and as safe as the stream of the personal
// channels, so that one must be there. Errors are as EnsureStreams's.
func (s *cursorStore) ensure(ctx context.Context, js jetstream.JetStream, of, manage string) error {
	ctx, cancel := context.WithTimeout(ctx, cursorInfoTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, of)
	if err != nil {
		return fmt.Errorf("look up stream %s, which the bucket of delivered cursors goes with: %w", of, err)
	}
	want := s.wanted(stream.CachedInfo().Config)
	bucket, err := js.Stream(ctx, s.stream)
	switch {
	case err == nil:
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("look up bucket %s: %w", s.stream, err)
	case manage == "never":
		return fmt.Errorf("%w: the bucket of delivered cursors (stream %s) does not exist and stream.manage is never: create it with `nats kv add`, history 1, ttl %v, or set stream.manage: create",
			bus.ErrMisconfigured, s.stream, want.MaxAge)
	default:
		if bucket, err = js.CreateStream(ctx, want); err != nil {
			return fmt.Errorf("create bucket %s: %w", s.stream, err)
		}
	}
	have := bucket.CachedInfo().Config
	if err := bus.CheckLayout(s.stream, have.Metadata); err != nil {
		return err
	}
	if manage == "update" && cursorDiffers(have, want) {
		next := have
		next.MaxAge, next.MaxBytes, next.AllowDirect, next.Replicas = want.MaxAge, want.MaxBytes, true, max(have.Replicas, want.Replicas)
		next.Metadata = maps.Clone(have.Metadata)
		if next.Metadata == nil {
			next.Metadata = map[string]string{}
		}
		maps.Copy(next.Metadata, want.Metadata)
		if want.MaxAge > 0 {
			next.Duplicates = min(next.Duplicates, want.MaxAge)
		}
		if bucket, err = js.UpdateStream(ctx, next); err != nil {
			return fmt.Errorf("update bucket %s: %w", s.stream, err)
		}
		have = bucket.CachedInfo().Config
	}
	s.replicated.Store(have.Replicas > 1)
	return s.check(have)
}

// wanted is the bucket as NATS's own tools would make it.
func (s *cursorStore) wanted(of jetstream.StreamConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              s.stream,
		Subjects:          []string{s.subject + ">"},
		Storage:           of.Storage,
		Discard:           jetstream.DiscardNew,
		MaxAge:            of.MaxAge,
		MaxBytes:          -1,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: 1,
		Duplicates:        of.Duplicates,
		AllowDirect:       true,
		AllowRollup:       true,
		DenyDelete:        true,
		Replicas:          of.Replicas,
		Metadata:          map[string]string{bus.LayoutKey: strconv.Itoa(bus.Layout)},
	}
}

func cursorDiffers(have, want jetstream.StreamConfig) bool {
	return have.MaxAge != want.MaxAge || have.MaxBytes > 0 || !have.AllowDirect || have.Replicas < want.Replicas ||
		have.Metadata[bus.LayoutKey] != want.Metadata[bus.LayoutKey]
}

func (s *cursorStore) check(have jetstream.StreamConfig) error {
	switch {
	case have.Mirror != nil || have.Sealed:
		return fmt.Errorf("%w: bucket %s is a mirror or sealed: Belfry must be able to write to it", bus.ErrMisconfigured, s.stream)
	case !have.AllowDirect:
		return fmt.Errorf("%w: bucket %s: allow_direct is off: set stream.manage: update, or change it with `nats stream edit`", bus.ErrMisconfigured, s.stream)
	case have.Retention != jetstream.LimitsPolicy || len(have.Subjects) != 1 || have.Subjects[0] != s.subject+">":
		return fmt.Errorf("%w: stream %s is not a bucket: its retention must be limits and its subject %s>", bus.ErrMisconfigured, s.stream, s.subject)
	}
	return nil
}
