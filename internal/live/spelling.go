package live

import (
	"log/slog"
	"strings"

	"belfry/internal/subject"
)

// maxTold bounds the memory for what has been logged once.
const maxTold = 1024

// A spelling reads channels from subjects and says once for each subject where
// an id or a name is spelled in another way than the canonical. Only the feed's
// goroutine uses it.
type spelling struct {
	// What stands before a user or a name, by source.
	notification, legacy, live, channel string

	log  *slog.Logger
	told map[string]struct{}
}

func newSpelling(names subject.Names, log *slog.Logger) spelling {
	user := strings.TrimSuffix(names.Users(), ".*")
	return spelling{
		notification: user + ".",
		legacy:       user + "_",
		live:         strings.TrimSuffix(names.AllLive(), ">"),
		channel:      strings.TrimSuffix(names.AllChannels(), ">"),
		log:          log,
		told:         make(map[string]struct{}),
	}
}

// read returns the channel that a subject stands for, and the source.
func (s *spelling) read(subj string) (channel string, from source, err error) {
	if token, ok := strings.CutPrefix(subj, s.notification); ok {
		channel, err = personal(token)
		from = notification
	} else if tokens, ok := strings.CutPrefix(subj, s.live); ok {
		channel, err = subject.DecodeName(tokens)
		from = live
	} else if tokens, ok := strings.CutPrefix(subj, s.channel); ok {
		channel, err = subject.DecodeName(tokens)
		from = other
	} else {
		channel, err = personal(strings.TrimPrefix(subj, s.legacy))
		from = legacy
	}
	if err != nil {
		s.tell(subj, err)
	}
	return channel, from, err
}

func personal(token string) (string, error) {
	user, err := subject.DecodeUser(token)
	return "#" + user, err
}

// tell logs a subject the first time that it is seen, the first maxTold of
// them.
func (s *spelling) tell(subj string, err error) {
	if _, done := s.told[subj]; done || len(s.told) > maxTold {
		return
	}
	s.told[strings.Clone(subj)] = struct{}{}
	if len(s.told) > maxTold {
		s.log.Warn("further subjects that are not canonical are only counted", "logged", maxTold)
		return
	}
	s.log.Warn("a message is not delivered: its subject does not spell the user id or the name as it must", "subject", subj, "err", err)
}
