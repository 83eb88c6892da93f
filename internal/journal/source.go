package journal

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"belfry/internal/position"
	"belfry/internal/subject"
)

// A source is one of the streams that a journal reads.
type source struct {
	id      position.Stream
	name    string                             // in NATS
	channel func(subj string) (string, error)  // whose publications a captured subject carries
	subject func(chann string) (string, error) // the reverse
}

// sources are the streams of one product.
func sources(names subject.Names) []source {
	return []source{
		{
			id:   position.Notifications,
			name: names.Notifications(),
			channel: func(subj string) (string, error) {
				user, err := names.UserOf(subj)
				return "#" + user, err
			},
			subject: func(channel string) (string, error) { return names.User(strings.TrimPrefix(channel, "#")) },
		},
		{
			id:   position.Channels,
			name: names.Channels(),
			channel: func(subj string) (string, error) {
				name, err := names.ChannelOf(subj)
				if err == nil && position.Of(name) != position.Channels {
					return "", fmt.Errorf("%w: %q is a personal channel's name, whose publications have another subject", subject.ErrID, name)
				}
				return name, err
			},
			subject: names.Channel,
		},
	}
}

const (
	// maxTold bounds the memory for what has been logged once.
	maxTold = 1024
	// maxKnown bounds the memory for what has been decoded: about 10 MB.
	maxKnown = 64 << 10
)

// A speller finds the channel of a message by its subject. Publications of one
// channel share one string. Only the sequencer's goroutine uses it, but for the
// counter.
type speller struct {
	source source
	log    *slog.Logger
	known  map[string]string // by subject
	told   map[string]bool

	misspelled atomic.Uint64
}

func newSpeller(s source, log *slog.Logger) *speller {
	return &speller{source: s, log: log, known: map[string]string{}, told: map[string]bool{}}
}

// channel is not ok where the subject is not the one spelling of a channel:
// such a message is delivered to nobody, which is logged once per subject.
func (s *speller) channel(subj string) (channel string, ok bool) {
	if channel, ok = s.known[subj]; ok {
		return channel, true
	}
	channel, err := s.source.channel(subj)
	if err != nil {
		s.misspelled.Add(1)
		s.tell(subj, err)
		return "", false
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[subj] = channel
	return channel, true
}

func (s *speller) tell(subj string, err error) {
	switch {
	case s.told[subj] || len(s.told) > maxTold:
	case len(s.told) == maxTold:
		s.told[subj] = true
		s.log.Warn("further subjects that are not canonical are only counted", "logged", maxTold)
	default:
		s.told[subj] = true
		s.log.Warn("a message is not delivered: its subject does not spell a channel as it must", "subject", subj, "err", err)
	}
}
