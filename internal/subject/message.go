package subject

import (
	"fmt"
	"strings"
)

// MaxMessageID is the longest id of a message, in bytes.
const MaxMessageID = 256

// CheckMessageID says what is wrong with the id that a publisher gives a
// message, so that publishing it again is the same message. It travels in a
// header, where blanks at its ends are dropped and line breaks replaced: two
// ids could become one there, and a message be taken for another's retry.
func CheckMessageID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it is empty", ErrID)
	case len(id) > MaxMessageID:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrID, len(id), MaxMessageID)
	case strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fmt.Errorf("%w: it has control characters", ErrID)
	case id[0] == ' ' || id[len(id)-1] == ' ':
		return fmt.Errorf("%w: it begins or ends with a blank", ErrID)
	}
	return nil
}
