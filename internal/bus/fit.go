package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A fault is a setting with which a stream can't be used.
type fault struct {
	text  string
	fixed bool // the server never lets it be changed
}

// faults compares a stream with what delivery needs of it.
func faults(have, want jetstream.StreamConfig) (found []fault) {
	add := func(wrong, fixed bool, format string, v ...any) {
		if wrong {
			found = append(found, fault{fmt.Sprintf(format, v...), fixed})
		}
	}
	add(have.Mirror != nil, true, "it is a mirror, which is stale: must be a stream of its own")
	add(have.Sealed, true, "it is sealed: must take publications")
	add(have.PersistMode == jetstream.AsyncPersistMode, true, "it acknowledges before it has written (persist_mode async): must be the default")
	add(have.Mirror == nil && !sameSubjects(have.Subjects, want.Subjects), false, "its subjects are [%s]: must be [%s]", strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " "))
	add(have.Retention != jetstream.LimitsPolicy, false, "its retention is %s: must be limits", strings.ToLower(have.Retention.String()))
	add(have.Discard != jetstream.DiscardOld, false, "it discards new publications when full: discard must be old")
	add(!have.AllowDirect, false, "allow_direct is off: must be on")
	add(have.NoAck, false, "it does not acknowledge (no_ack): must be off")
	add(have.SubjectTransform != nil, false, "it changes subjects (subject_transform): must be off")
	return found
}

func sameSubjects(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// checkRequired names all faults of a stream at once, and the remedy.
func checkRequired(have, want jetstream.StreamConfig) error {
	found := faults(have, want)
	if len(found) == 0 {
		return nil
	}
	return unusable(have.Name, found, anyFixed(found))
}

func anyFixed(found []fault) bool {
	return slices.ContainsFunc(found, func(f fault) bool { return f.fixed })
}

func unusable(name string, found []fault, fixed bool) error {
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.text
	}
	remedy := "set stream.manage: update and Belfry changes that, or change it with `nats stream edit`"
	if fixed {
		remedy = "NATS can't change that in a stream: set another nats.prefix, or move what it holds elsewhere and delete it (Belfry never deletes a stream)"
	}
	return fmt.Errorf("%w: stream %s can't be used: %s; remedy: %s", ErrMisconfigured, name, strings.Join(texts, "; "), remedy)
}

// update brings a stream's settings to ours. What Belfry has no opinion on
// stays, unknown metadata (a newer Belfry's, an operator's) included.
func (b *Bus) update(ctx context.Context, have, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if anyFixed(faults(have, want)) {
		return have, checkRequired(have, want)
	}
	next := b.updated(have, want)
	if reflect.DeepEqual(next, have) {
		return have, nil
	}
	stream, err := b.js.UpdateStream(ctx, next)
	if err != nil && next.Replicas != have.Replicas && b.tooFew(err) {
		next.Replicas = have.Replicas
		if reflect.DeepEqual(next, have) {
			return have, nil
		}
		stream, err = b.js.UpdateStream(ctx, next)
	}
	if err != nil {
		return have, b.notUpdated(ctx, have, want, err)
	}
	b.log.Info("updated a stream's settings", "stream", want.Name, "max_age", next.MaxAge, "max_bytes", next.MaxBytes, "replicas", next.Replicas)
	return stream.CachedInfo().Config, nil
}

// notUpdated explains a refused update: where a fault is behind it, the server
// never lets that one be changed.
func (b *Bus) notUpdated(ctx context.Context, have, want jetstream.StreamConfig, err error) error {
	why := b.explain(ctx, "update", want, err)
	if found := faults(have, want); errors.Is(why, ErrMisconfigured) && len(found) > 0 {
		return fmt.Errorf("%w: %w", unusable(have.Name, found, true), why)
	}
	return why
}

func (b *Bus) updated(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	next := have
	next.Subjects = want.Subjects
	if sameSubjects(have.Subjects, want.Subjects) {
		next.Subjects = have.Subjects
	}
	next.Retention, next.Discard, next.DiscardNewPerSubject = want.Retention, want.Discard, false
	next.MaxAge, next.MaxBytes, next.MaxMsgs, next.MaxMsgsPerSubject = want.MaxAge, want.MaxBytes, want.MaxMsgs, want.MaxMsgsPerSubject
	next.Duplicates = want.Duplicates
	next.AllowDirect, next.AllowMsgTTL, next.NoAck, next.SubjectTransform = true, true, false, nil
	// auto raises the replicas and never takes one away.
	if b.o.Stream.Replicas != 0 || want.Replicas > have.Replicas {
		next.Replicas = want.Replicas
	}
	next.Metadata = maps.Clone(have.Metadata)
	if next.Metadata == nil {
		next.Metadata = map[string]string{}
	}
	maps.Copy(next.Metadata, want.Metadata)
	return next
}

// mention warns, once a stream, of what works and costs something.
func (b *Bus) mention(have, want jetstream.StreamConfig) {
	var remarks []string
	add := func(odd bool, format string, v ...any) {
		if odd {
			remarks = append(remarks, fmt.Sprintf(format, v...))
		}
	}
	add(have.Storage != jetstream.FileStorage, "it is kept in memory: what was acknowledged is gone when its servers restart")
	add(have.MaxMsgsPerSubject > 0, "max_msgs_per_subject is %d: a client that comes back can't be told what it evicted", have.MaxMsgsPerSubject)
	add(have.RePublish != nil, "republish is on: every publish reads an old block from disk")
	add(len(have.Sources) > 0, "it has sources: what they bring is delivered only on our subjects")
	add(!have.AllowMsgTTL, "allow_msg_ttl is off: publications with a time of their own are refused")
	add(have.Duplicates < want.Duplicates, "its duplicate window is %v, ours %v: a later retry is stored twice", have.Duplicates, want.Duplicates)
	add(have.MaxAge != want.MaxAge, "max_age is %v, stream.max_age %v", have.MaxAge, want.MaxAge)
	add(have.MaxBytes != want.MaxBytes, "max_bytes is %d, stream.max_bytes %d", have.MaxBytes, want.MaxBytes)
	add(b.o.Stream.Replicas != 0 && have.Replicas != want.Replicas, "it has %d replicas, stream.replicas is %d", have.Replicas, want.Replicas)
	add(b.o.Stream.Replicas == 0 && have.Replicas < want.Replicas && b.nc.ConnectedClusterName() != "", "it has %d replicas, on a cluster", have.Replicas)
	if len(remarks) == 0 || b.streams.warned[have.Name] {
		return
	}
	if b.streams.warned == nil {
		b.streams.warned = map[string]bool{}
	}
	b.streams.warned[have.Name] = true
	b.log.Warn("a stream has other settings than Belfry would give it; stream.manage: update changes those that can be",
		"stream", have.Name, "settings", strings.Join(remarks, "; "))
}

// fewPeers tells a cluster that has too few servers from one that has enough
// of which some are offline or full.
func fewPeers(api *jetstream.APIError) bool {
	return !strings.Contains(api.Description, "offline") && !strings.Contains(api.Description, "insufficient storage")
}

// others names the streams that overlap with the one wanted.
func (b *Bus) others(ctx context.Context, want jetstream.StreamConfig) string {
	var names []string
	for _, s := range want.Subjects {
		lister := b.js.ListStreams(ctx, jetstream.WithStreamListSubject(s))
		for info := range lister.Info() {
			if name := info.Config.Name; name != want.Name {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return "(its name can't be had)"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// checkCaptures looks for a stream that captures what we ask the backend: its
// ack would be the first reply. One that acknowledges nothing does no harm.
func (b *Bus) checkCaptures(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for _, asked := range b.names.Requests() {
		lister := b.js.ListStreams(ctx, jetstream.WithStreamListSubject(asked))
		for info := range lister.Info() {
			if info.Config.NoAck {
				continue
			}
			return fmt.Errorf("%w: stream %s captures %q (its subjects are [%s]) and would answer Belfry's requests with its own ack: narrow its subjects, set no_ack on it, or set nats.prefix",
				ErrMisconfigured, info.Config.Name, asked, strings.Join(info.Config.Subjects, " "))
		}
		if err := lister.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
			return b.notListed(err)
		}
	}
	b.streams.unlistable = 0
	return nil
}

// notListed gives up after three tries: a user that may not list streams is
// served all the same, and told so. Without JetStream there are none.
func (b *Bus) notListed(err error) error {
	if !b.o.Durable {
		return nil
	}
	b.streams.unlistable++
	if b.streams.unlistable < 3 {
		return fmt.Errorf("list the streams: %w", err)
	}
	if b.streams.unlistable == 3 {
		b.log.Warn("streams can't be listed, so one that captures requests to the backend would not be found; this NATS user may lack the right to $JS.API.STREAM.LIST", "err", err)
	}
	return nil
}
