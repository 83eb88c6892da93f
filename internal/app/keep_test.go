package app

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"belfry/internal/bus"
	"belfry/internal/bus/bustest"
	"belfry/internal/config"
	"belfry/internal/ops"
)

// A right that the NATS user lacks is not told as a full disk.
func TestWhatIsNotPermittedIsNotStored(t *testing.T) {
	n := bustest.Start(t, &bustest.Server{Users: map[string]string{"gateway": `{publish: {deny: "$KV.>"}}`}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b, err := bus.Dial(ctx, config.Default(), n.URL("gateway"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(ctx) }()
	k := &keeper{r: &rooms{bus: b}, doubt: true, mender: mender{probe: func(context.Context) error { return bus.ErrNotStoring }}}
	if found, ok := k.ask(ctx); !ok || found.state != ops.NotStoring || !strings.Contains(found.why, "disk") {
		t.Errorf("not known why: %+v", found)
	}
	if err := b.Conn().Publish("$KV.BELFRY_CURSORS.1", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Conn().FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	if found, ok := k.ask(ctx); !ok || found.state != ops.NotStoring || strings.Contains(found.why, "disk") || !strings.Contains(found.why, "lacks the right") {
		t.Errorf("not permitted: %+v", found)
	}
}
