package journal

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// Only the server's own markers are none of a publisher's: they carry nothing.
func TestForgedMarker(t *testing.T) {
	header := nats.Header{headerMarker: {"Purge"}}
	if m := newMessage(1, 0, "notification.1", header, nil); !m.marker {
		t.Error("a marker is taken for a publication")
	}
	if m := newMessage(1, 0, "notification.1", header, []byte("x")); m.marker {
		t.Error("a publication with the marker's header is dropped")
	}
}
