package judge

import (
	"fmt"
	"slices"

	"belfry/internal/position"
)

// reset takes resets over that came together, and sees which stream each is
// about: they don't say.
func (w *walk) reset(e Event, reasons []string) {
	used := map[string]bool{}
	from := w.at
	for _, reason := range reasons {
		w.verdict.Resets[reason]++
	}
	for _, s := range w.client.streams() {
		was, m := from.Get(s), e.Position.Get(s)
		if m.Epoch == "" {
			continue
		}
		why := w.reason(s, was, m, e, reasons)
		if why == "" {
			w.move(Event{At: e.At, What: e.What, Reason: e.Reason, Position: position.Position{}.With(s, m)}, position.None)
			continue
		}
		used[why] = true
		w.at = w.at.With(s, m)
		w.replayed(s, m, e)
	}
	for _, reason := range reasons {
		if !used[reason] {
			w.violate(FalseReset, w.client, w.conn, e.At, list(w.client.Channels), 0,
				fmt.Sprintf("told %s at position %s, and nothing had happened to the streams that would be a reason", reason, from))
		}
	}
}

// reason is which of the reasons is true of a stream.
func (w *walk) reason(s position.Stream, was, m position.Mark, e Event, reasons []string) string {
	told := func(reason string) bool { return slices.Contains(reasons, reason) }
	switch {
	case was.Epoch == "":
		return ""
	case was.Epoch != m.Epoch:
		if told("epoch") && w.ledger.changed(s, was.Epoch, m.Epoch, e.At) {
			return "epoch"
		}
	case told("expired") && w.ledger.expired(s, was, e.At):
		return "expired"
	case told("ahead") && m.Seq < was.Seq && w.ledger.restless(s, e.At, e.At):
		return "ahead"
	}
	return ""
}

// replayed looks at what a reset passes over: what the stream has, and the
// client never got, must come behind it.
func (w *walk) replayed(s position.Stream, m position.Mark, e Event) {
	era := w.ledger.labels[s][m.Epoch].era
	began := w.start.Get(s)
	for _, channel := range w.client.Channels {
		if position.Of(channel) != s {
			continue
		}
		for _, p := range w.ledger.between(channel, era, 0, m.Seq) {
			if p.Era == w.ledger.labels[s][began.Epoch].era && p.Seq <= began.Seq {
				continue // from before its time
			}
			_, purged := w.ledger.purge(s, era, p.Seq)
			if _, ok := w.got[p.ID]; !ok && !purged {
				w.violate(Lost, w.client, w.conn, e.At, channel, p.Seq, fmt.Sprintf("%s, acknowledged at %.3fs, never came, the stream has it, and the reset goes on behind it", p.ID, p.Acked.Seconds()))
			}
		}
	}
}
