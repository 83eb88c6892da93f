package subject

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckMessageID(t *testing.T) {
	for _, id := range []string{"a", "order 1001", "ä", "a:b.c>*", strings.Repeat("a", MaxMessageID)} {
		if err := CheckMessageID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", " a", "a ", "a\nb", "a\r", "\ta", "a\x00", "a\x7f", strings.Repeat("a", MaxMessageID+1)} {
		if err := CheckMessageID(id); !errors.Is(err, ErrID) {
			t.Errorf("%q: %v, want an error about an id", id, err)
		}
	}
}
