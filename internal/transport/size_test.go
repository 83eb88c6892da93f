package transport_test

import (
	"io"
	"log/slog"
	"testing"

	"belfry/internal/transport"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// TestConnSize: an idle connection's memory is this and its session.
func TestConnSize(t *testing.T) {
	if size := transport.ConnSize; size > 144 { // a size class of Go's allocator
		t.Errorf("a Conn is %d bytes", size)
	}
}
