package live

import (
	"log/slog"
	"strings"

	"belfry/internal/subject"
)

// maxTold bounds the memory for what has been logged once.
const maxTold = 1024

// A spelling reads user ids from subjects and says once for each subject where
// one is spelled in another way than the canonical. Only the feed's goroutine
// uses it.
type spelling struct {
	durable string // what stands before a user in notification.<user>
	legacy  string // and in notification_<user>
	log     *slog.Logger
	told    map[string]struct{}
}

func newSpelling(names subject.Names, log *slog.Logger) spelling {
	stem := strings.TrimSuffix(names.Users(), ".*")
	return spelling{durable: stem + ".", legacy: stem + "_", log: log, told: make(map[string]struct{})}
}

// user returns the user id in a subject.
func (s *spelling) user(subj string) (user string, legacy bool, err error) {
	token, durable := strings.CutPrefix(subj, s.durable)
	if !durable {
		token = strings.TrimPrefix(subj, s.legacy)
	}
	user, err = subject.DecodeUser(token)
	if err != nil {
		s.tell(subj, err)
	}
	return user, !durable, err
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
	s.log.Warn("a message is not delivered: its subject does not spell the user id as it must", "subject", subj, "err", err)
}
