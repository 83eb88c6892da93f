package ops

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"belfry/internal/histogram"
	"belfry/internal/reason"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// example is a snapshot in which every value differs.
func example() Snapshot {
	s := Snapshot{
		Connections: map[string]int{"messagechannel": 3}, Channels: 4, Subscriptions: 5, QueueBytes: 6, Limit: 7,
		Authentications: map[string]uint64{"accepted": 8, "refused": 0},
		AuthUnderWay:    9, AuthWaiting: 10,
		Publications: map[string]uint64{"notification": 11, "legacy": 0},
		Misspelled:   12, Dropped: 13,
		Deliveries:     map[string]uint64{"messagechannel": 14},
		Authorizations: map[string]uint64{"refused": 17},
		CatchingUp:     18, FromRing: 19, FromStream: 20,
		Resets:      map[string]uint64{"epoch": 21},
		DeepWaiting: 22,
		Streams: map[string]Stream{"notifications": {
			Watermark: 23, Lag: 24, OldestAge: 25, RingEntries: 26, RingBytes: 27, Resets: 28,
			Handover: took(2*time.Millisecond, 2*time.Millisecond),
		}},
		Pending: 34, Passes: 35, Writes: 36,
		AuthTook:     took(37*time.Millisecond, time.Minute),
		CursorsDirty: 29, CursorLag: 30.5, CursorWrites: 31, CursorFailures: 32, TicketsTaken: 33,
		NATSConnected: true,
		Ready:         true,
	}
	s.Closes[reason.Slow] = 15
	s.Refusals[reason.Limit] = 16
	return s
}

func took(all ...time.Duration) histogram.Snapshot {
	var h histogram.Histogram
	for _, d := range all {
		h.Observe(d)
	}
	return h.Snapshot()
}

func board(read func() Snapshot) *Board {
	b := New(Build{Version: "1.2.3", Revision: "abc", Go: "go1"}, read, func() Health { return Health{State: Ready} }, quiet())
	b.SetAccess(true, "", false)
	return b
}

func internal(b *Board) *http.ServeMux {
	mux := http.NewServeMux()
	b.Internal(mux)
	return mux
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "127.0.0.1:6004"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryValueIsExported(t *testing.T) {
	text := get(internal(board(example)), "/metrics").Body.String()
	for _, line := range []string{
		`belfry_connections{dialect="messagechannel"} 3`,
		`belfry_channels 4`,
		`belfry_authorizations_total{outcome="refused"} 17`,
		`belfry_catching_up 18`,
		`belfry_replayed_publications_total{from="ring"} 19`,
		`belfry_replayed_publications_total{from="stream"} 20`,
		`belfry_resets_total{reason="epoch"} 21`,
		`belfry_deep_reads_waiting 22`,
		`belfry_stream_watermark{stream="notifications"} 23`,
		`belfry_stream_lag_messages{stream="notifications"} 24`,
		`belfry_stream_oldest_age_seconds{stream="notifications"} 25`,
		`belfry_ring_entries{stream="notifications"} 26`,
		`belfry_ring_bytes{stream="notifications"} 27`,
		`belfry_stream_resets_total{stream="notifications"} 28`,
		`belfry_cursors_unwritten 29`,
		`belfry_cursor_lag_seconds 30.5`,
		`belfry_cursor_writes_total 31`,
		`belfry_cursor_write_failures_total 32`,
		`belfry_cursor_tickets_taken_total 33`,
		`belfry_subscriptions 5`,
		`belfry_queue_bytes 6`,
		`belfry_connections_limit 7`,
		`belfry_authentications_total{outcome="accepted"} 8`,
		`belfry_authentications_total{outcome="refused"} 0`,
		`belfry_authentications_under_way 9`,
		`belfry_authentications_waiting 10`,
		`belfry_publications_total{source="notification"} 11`,
		`belfry_publications_total{source="legacy"} 0`,
		`belfry_misspelled_subjects_total 12`,
		`belfry_slow_consumer_drops_total 13`,
		`belfry_deliveries_total{dialect="messagechannel"} 14`,
		`belfry_pending_publications 34`,
		`belfry_passes_total 35`,
		`belfry_writes_total 36`,
		`belfry_authentication_seconds_bucket{le="0.025"} 0`,
		`belfry_authentication_seconds_bucket{le="0.05"} 1`,
		`belfry_authentication_seconds_bucket{le="30"} 1`,
		`belfry_authentication_seconds_bucket{le="+Inf"} 2`,
		`belfry_authentication_seconds_sum 60.037`,
		`belfry_authentication_seconds_count 2`,
		`belfry_stream_handover_seconds_bucket{stream="notifications",le="0.0025"} 2`,
		`belfry_stream_handover_seconds_count{stream="notifications"} 2`,
		`belfry_closes_total{reason="slow"} 15`,
		`belfry_closes_total{reason="drain"} 0`,
		`belfry_refusals_total{reason="limit"} 16`,
		`belfry_refusals_total{reason="not_ready"} 0`,
		`belfry_nats_connected 1`,
		`belfry_durable 0`,
		`belfry_ready 1`,
		`belfry_build_info{go="go1",revision="abc",version="1.2.3"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "go_cpu_classes_gc_total_cpu_seconds_total", "go_sched_latencies_seconds_count", "go_sync_mutex_wait_total_seconds_total"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("missing: %s", name)
		}
	}
}

func TestEachReasonIsExportedFromTheBeginning(t *testing.T) {
	text := get(internal(board(func() Snapshot { return Snapshot{} })), "/metrics").Body.String()
	for _, r := range reason.All() {
		if !strings.Contains(text, fmt.Sprintf("_total{reason=%q} 0", r.String())) {
			t.Errorf("reason %s is in neither metric", r)
		}
	}
}

func TestAReasonNobodyExpectedIsExportedToo(t *testing.T) {
	read := func() (s Snapshot) {
		s.Closes[reason.Limit] = 1
		return s
	}
	if text := get(internal(board(read)), "/metrics").Body.String(); !strings.Contains(text, `belfry_closes_total{reason="limit"} 1`) {
		t.Error("it is missing")
	}
}

// exported is each metric's kind and labels.
func exported(t *testing.T) map[string]string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collector{Build{}, example})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		found[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, " ")
	}
	return found
}

func TestMetricsAndTheirPageAgree(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(belfry_[a-z_]+)` \\| (\\w+) \\| *([^|]*?) *\\| [^|]+ \\|$")
	told := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		labels := regexp.MustCompile(`\w+`).FindAllString(m[3], -1)
		slices.Sort(labels)
		told[m[1]] = m[2] + " " + strings.Join(labels, " ")
	}
	real := exported(t)
	for name, is := range real {
		if told[name] != is {
			t.Errorf("%s is %q, docs/metrics.md says %q", name, is, told[name])
		}
	}
	for name := range told {
		if _, ok := real[name]; !ok {
			t.Errorf("docs/metrics.md has %s, which is not exported", name)
		}
	}
}

func TestReasonsAndTheirPageAgree(t *testing.T) {
	page, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, real []string
	for _, m := range regexp.MustCompile(`(?m)^### (\S+)\n(.*)`).FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
		if len(m[2]) < 80 {
			t.Errorf("%s: what it means, what the client saw and what to do are not said: %q", m[1], m[2])
		}
	}
	for _, r := range reason.All() {
		real = append(real, r.String())
	}
	slices.Sort(told)
	slices.Sort(real)
	if !slices.Equal(told, real) {
		t.Errorf("docs/reasons.md has\n%q\nthere are\n%q", told, real)
	}
}
