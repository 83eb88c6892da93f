package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// duplicateWindow is for how long a stream knows a publication's id.
	duplicateWindow = 2 * time.Minute

	// apiTimeout bounds one question to JetStream.
	apiTimeout = 5 * time.Second

	// autoReplicas is what stream.replicas: auto means on a cluster that has
	// them. settleFor is how long a cluster that is still gathering may take
	// until fewer servers count as all there are.
	autoReplicas = 3
	settleFor    = 10 * time.Second
)

// The server's error codes that have a sentence of their own here.
const (
	codeNoPeers     jetstream.ErrorCode = 10005
	codeNoStorage   jetstream.ErrorCode = 10047
	codeInvalid     jetstream.ErrorCode = 10052
	codeOverlap     jetstream.ErrorCode = 10065
	codeNoReplicas  jetstream.ErrorCode = 10074
	codeNoResources jetstream.ErrorCode = 10023
)

// streams is what EnsureStreams remembers from call to call.
type streams struct {
	mu         sync.Mutex    // one call at a time
	settle     time.Duration // settleFor, but in tests
	fewSince   time.Time     // since when the cluster has had too few servers
	unlistable int           // how often streams could not be listed
	warned     map[string]bool
}

// EnsureStreams sees to it that both streams exist and are fit for use, as
// stream.manage says, and that no stream answers in the backend's place. It
// changes nothing but settings, and only with manage update.
//
// An error that wraps ErrMisconfigured stays until somebody changes something,
// which its text names. Any other may pass, as a cluster that is electing
// does: call again. With durable: false there are no streams, and none is
// needed.
func (b *Bus) EnsureStreams(ctx context.Context) error {
	b.streams.mu.Lock()
	defer b.streams.mu.Unlock()
	if b.server != nil {
		if err := b.server.gathered(); err != nil {
			return err
		}
	}
	if _, away := b.Away(); away {
		if err := b.why(); err != nil {
			return fmt.Errorf("%w: NATS at %s is away: %w", ErrUnavailable, b.url, err)
		}
		return fmt.Errorf("%w: NATS at %s is away", ErrUnavailable, b.url)
	}
	if b.o.Durable {
		for _, want := range []jetstream.StreamConfig{
			b.wanted(b.names.Notifications(), b.names.Users()),
			b.wanted(b.names.Channels(), b.names.AllChannels()),
		} {
			if err := b.ensure(ctx, want); err != nil {
				return err
			}
		}
	}
	return b.checkCaptures(ctx)
}

// wanted is a stream with its final settings.
func (b *Bus) wanted(name, subject string) jetstream.StreamConfig {
	o := b.o.Stream
	duplicates := duplicateWindow
	if o.MaxAge > 0 {
		duplicates = min(duplicates, o.MaxAge) // the server allows no more
	}
	replicas := o.Replicas
	if replicas == 0 {
		replicas = autoReplicas
		if b.Embedded() && !b.Clustered() {
			replicas = 1
		}
	}
	return jetstream.StreamConfig{
		Name:              name,
		Subjects:          []string{subject},
		Storage:           jetstream.FileStorage,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxAge:            o.MaxAge,
		MaxBytes:          o.MaxBytes,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		Duplicates:        duplicates,
		AllowDirect:       true,
		AllowMsgTTL:       true,
		Replicas:          replicas,
		Metadata:          map[string]string{LayoutKey: strconv.Itoa(Layout)},
	}
}

func (b *Bus) ensure(ctx context.Context, want jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return b.create(ctx, want)
	}
	if err != nil {
		return b.explain(ctx, "look up", want, err)
	}
	have := stream.CachedInfo().Config
	if err := CheckLayout(have.Name, have.Metadata); err != nil {
		return err
	}
	if b.o.Stream.Manage == "update" {
		if have, err = b.update(ctx, have, want); err != nil {
			return err
		}
	}
	if err := checkRequired(have, want); err != nil {
		return err
	}
	b.mention(have, want)
	b.mark(ctx, have)
	return nil
}

func (b *Bus) create(ctx context.Context, want jetstream.StreamConfig) error {
	if b.o.Stream.Manage == "never" {
		return fmt.Errorf("stream %s does not exist and stream.manage is never: create it with the subject %s, limits retention, discard old and allow_direct, or set stream.manage: create",
			want.Name, want.Subjects[0])
	}
	if err := b.recovered(want.Name); err != nil {
		return err
	}
	stream, err := b.js.CreateStream(ctx, want)
	if err != nil && b.tooFew(err) {
		want.Replicas = 1
		stream, err = b.js.CreateStream(ctx, want)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("create stream %s: another gateway was first, with other settings: %w", want.Name, err)
	}
	if err != nil {
		return b.explain(ctx, "create", want, err)
	}
	b.log.Info("created a stream", "stream", want.Name, "subject", want.Subjects[0], "replicas", want.Replicas,
		"max_age", want.MaxAge, "max_bytes", want.MaxBytes)
	// A server that is too old drops the settings that it does not know.
	return checkRequired(stream.CachedInfo().Config, want)
}

// tooFew says whether automatic replicas failed for want of servers, for good:
// one server alone says so at once, a cluster may still be gathering.
func (b *Bus) tooFew(err error) bool {
	var api *jetstream.APIError
	if b.o.Stream.Replicas != 0 || b.Clustered() || !errors.As(err, &api) { // nodes are known to be three
		return false
	}
	switch api.ErrorCode {
	case codeNoReplicas:
		return true
	case codeNoPeers:
		if b.streams.fewSince.IsZero() {
			b.streams.fewSince = time.Now()
		}
		if time.Since(b.streams.fewSince) < b.streams.settle || !fewPeers(api) {
			return false
		}
		b.log.Warn("the NATS cluster has fewer than three servers with JetStream: streams get one replica", "err", api)
		return true
	}
	return false
}

// explain turns an error of the JetStream API into what to do about it.
func (b *Bus) explain(ctx context.Context, doing string, want jetstream.StreamConfig, err error) error {
	var api *jetstream.APIError
	errors.As(err, &api)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("NATS at %s has no JetStream for this account, or is still electing a leader: enable JetStream there, or choose live only with durable: false: %w", b.url, err)
	case api == nil:
		return fmt.Errorf("%s stream %s: NATS at %s gives no answer: its cluster may be electing a leader, or this user may not use $JS.API: %w", doing, want.Name, b.url, err)
	case api.ErrorCode == codeOverlap:
		return fmt.Errorf("%w: %s stream %s: its subject %s overlaps with stream %s: narrow that stream's subjects, or set nats.prefix: %w",
			ErrMisconfigured, doing, want.Name, want.Subjects[0], b.others(ctx, want), err)
	case api.ErrorCode == codeNoReplicas:
		return fmt.Errorf("%w: %s stream %s: stream.replicas is %d, which needs a cluster: set it to auto or 1: %w", ErrMisconfigured, doing, want.Name, want.Replicas, err)
	case api.ErrorCode == codeNoPeers && b.Clustered():
		return fmt.Errorf("%s stream %s with %d replicas: %w: %w", doing, want.Name, want.Replicas, b.server.present(b.server.words().routeTrouble()), err)
	case api.ErrorCode == codeNoStorage && b.Embedded():
		return fmt.Errorf("%w: %s stream %s: nats.max_store (%d bytes) is too small for two streams of stream.max_bytes (%d bytes) and what else is stored: raise it or lower stream.max_bytes: %w",
			ErrMisconfigured, doing, want.Name, b.o.NATS.MaxStore, want.MaxBytes, err)
	case api.ErrorCode == codeNoStorage, api.ErrorCode == codeNoResources, api.ErrorCode == codeNoPeers:
		return fmt.Errorf("%s stream %s with %d replicas of %d bytes: NATS has no room for it, or too few servers: %w", doing, want.Name, want.Replicas, want.MaxBytes, err)
	case api.Code < 500, api.ErrorCode == codeInvalid:
		return fmt.Errorf("%w: %s stream %s: %w", ErrMisconfigured, doing, want.Name, err)
	}
	return fmt.Errorf("%s stream %s: %w", doing, want.Name, err)
}
