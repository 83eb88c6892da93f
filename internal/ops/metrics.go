package ops

import (
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"belfry/internal/histogram"
	"belfry/internal/reason"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("belfry_"+name, help, labels, nil)
}

// The metrics. docs/metrics.md lists the same names; a test holds them together.
var (
	connections   = desc("connections", "Open connections.", "dialect")
	limit         = desc("connections_limit", "Connections that may be open at once.")
	channels      = desc("channels", "Channels that a connection is subscribed to.")
	subscriptions = desc("subscriptions", "Subscriptions of connections to channels.")
	queueBytes    = desc("queue_bytes", "Bytes that wait for connections which read slowly.")

	authentications = desc("authentications_total", "Tokens asked about, by what came of it.", "outcome")
	authUnderWay    = desc("authentications_under_way", "Authentication requests that the backend has not answered yet.")
	authWaiting     = desc("authentications_waiting", "Authentication requests in line, not yet sent to the backend.")
	authTook        = desc("authentication_seconds", "From a token to what came of it, where the backend was asked.")

	authorizations = desc("authorizations_total", "Questions whether a user may use a channel, by what came of it.", "outcome")

	publications = desc("publications_total", "Publications taken in from NATS.", "source")
	misspelled   = desc("misspelled_subjects_total", "Messages not delivered because their subject does not spell the user id in the canonical form.")
	dropped      = desc("slow_consumer_drops_total", "NATS messages dropped because they came faster than the gateway took them.")
	deliveries   = desc("deliveries_total", "Publications handed to connections, one for each connection.", "dialect")
	pending      = desc("pending_publications", "Publications taken in and not yet written to all who are to get them.")
	passes       = desc("passes_total", "Passes of the workers that write publications.")
	writes       = desc("writes_total", "Writes in these passes, one for each connection and pass.")

	catchingUp  = desc("catching_up", "Connections that are being sent what they missed.")
	replayed    = desc("replayed_publications_total", "Publications sent to clients that missed them, by where they were read.", "from")
	resets      = desc("resets_total", "Connections whose place in a stream was lost, told or not.", "reason")
	deepWaiting = desc("deep_reads_waiting", "Reads from a stream that wait in line.")

	streamWatermark = desc("stream_watermark", "Sequence up to which a stream was handed to the connections.", "stream")
	handover        = desc("stream_handover_seconds", "From when a message was stored to when its publication was handed to the connections' workers.", "stream")
	streamLag       = desc("stream_lag_messages", "Messages in a stream behind the watermark.", "stream")
	streamOldest    = desc("stream_oldest_age_seconds", "Age of the oldest message in a stream.", "stream")
	streamResets    = desc("stream_resets_total", "Times that a stream's history was found to be another than before.", "stream")
	ringEntries     = desc("ring_entries", "Publications in memory.", "stream")
	ringBytes       = desc("ring_bytes", "Bytes of the publications in memory.", "stream")

	cursorsDirty   = desc("cursors_unwritten", "Users whose delivered cursor has changed and is not written yet.")
	cursorLag      = desc("cursor_lag_seconds", "Time since the oldest of these changed.")
	cursorWrites   = desc("cursor_writes_total", "Delivered cursors written.")
	cursorFailures = desc("cursor_write_failures_total", "Writes of delivered cursors that failed and are tried again.")
	ticketsTaken   = desc("cursor_tickets_taken_total", "Connections that went on where one that broke off had stood.")

	closes   = desc("closes_total", "Connections that ended.", "reason")
	refusals = desc("refusals_total", "Handshakes and sockets that were refused.", "reason")

	natsConnected = desc("nats_connected", "1 while connected to NATS, else 0.")
	streamMissing = desc("stream_missing", "1 while a stream that the gateway needs is gone, or there in part, else 0.")
	notStoring    = desc("not_storing", "1 while NATS can't write what is published, else 0.")
	durable       = desc("durable", "1 where publications are kept in streams, 0 where the gateway is live only.")
	ready         = desc("ready", "1 while /readyz says ready, else 0.")
	buildInfo     = desc("build_info", "1; its labels say what is running.", "version", "revision", "go")
)

var all = []*prometheus.Desc{
	connections, limit, channels, subscriptions, queueBytes,
	authentications, authUnderWay, authWaiting, authTook,
	authorizations, publications, misspelled, dropped, deliveries, pending, passes, writes,
	catchingUp, replayed, resets, deepWaiting,
	streamWatermark, handover, streamLag, streamOldest, streamResets, ringEntries, ringBytes,
	cursorsDirty, cursorLag, cursorWrites, cursorFailures, ticketsTaken,
	closes, refusals, natsConnected, streamMissing, notStoring, durable, ready, buildInfo,
}

// handshakes are the reasons that only a handshake is refused for, so that no
// connection ends with them. Drain and Internal occur as both.
var handshakes = []reason.Reason{reason.NotReady, reason.Limit, reason.BadHandshake, reason.BadOrigin}

// collector reads a snapshot for each scrape: nothing is counted twice, and the
// hot paths count in the way that suits them.
type collector struct {
	build Build
	read  func() Snapshot
}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range all {
		to <- d
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.read()
	out := sink{to}

	labelled(out, connections, prometheus.GaugeValue, s.Connections)
	out.gauge(limit, float64(s.Limit))
	out.gauge(channels, float64(s.Channels))
	out.gauge(subscriptions, float64(s.Subscriptions))
	out.gauge(queueBytes, float64(s.QueueBytes))

	labelled(out, authentications, prometheus.CounterValue, s.Authentications)
	out.gauge(authUnderWay, float64(s.AuthUnderWay))
	out.gauge(authWaiting, float64(s.AuthWaiting))
	out.histogram(authTook, &s.AuthTook)

	labelled(out, authorizations, prometheus.CounterValue, s.Authorizations)
	labelled(out, publications, prometheus.CounterValue, s.Publications)
	out.counter(misspelled, s.Misspelled)
	out.counter(dropped, s.Dropped)
	labelled(out, deliveries, prometheus.CounterValue, s.Deliveries)
	out.gauge(pending, float64(s.Pending))
	out.counter(passes, s.Passes)
	out.counter(writes, s.Writes)

	out.history(&s)

	out.reasons(closes, &s.Closes, func(r reason.Reason) bool { return !slices.Contains(handshakes, r) })
	out.reasons(refusals, &s.Refusals, func(r reason.Reason) bool {
		return slices.Contains(handshakes, r) || r == reason.Drain || r == reason.Internal
	})

	out.gauge(natsConnected, flag(s.NATSConnected))
	out.gauge(streamMissing, flag(s.Missing))
	out.gauge(notStoring, flag(s.NotStoring))
	out.gauge(durable, flag(s.Durable))
	out.gauge(ready, flag(s.Ready))
	out.gauge(buildInfo, 1, c.build.Version, c.build.Revision, c.build.Go)
}

// history is what was missed, and how it is kept.
func (s sink) history(of *Snapshot) {
	s.gauge(catchingUp, float64(of.CatchingUp))
	s.counter(replayed, of.FromRing, "ring")
	s.counter(replayed, of.FromStream, "stream")
	labelled(s, resets, prometheus.CounterValue, of.Resets)
	s.gauge(deepWaiting, float64(of.DeepWaiting))
	for name, st := range of.Streams {
		s.gauge(streamWatermark, float64(st.Watermark), name)
		s.histogram(handover, &st.Handover, name)
		s.gauge(streamLag, float64(st.Lag), name)
		s.gauge(streamOldest, st.OldestAge, name)
		s.counter(streamResets, st.Resets, name)
		s.gauge(ringEntries, float64(st.RingEntries), name)
		s.gauge(ringBytes, float64(st.RingBytes), name)
	}
	s.gauge(cursorsDirty, float64(of.CursorsDirty))
	s.gauge(cursorLag, of.CursorLag)
	s.counter(cursorWrites, of.CursorWrites)
	s.counter(cursorFailures, of.CursorFailures)
	s.counter(ticketsTaken, of.TicketsTaken)
}

type sink struct{ to chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, v uint64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (s sink) histogram(d *prometheus.Desc, h *histogram.Snapshot, labels ...string) {
	s.to <- prometheus.MustNewConstHistogram(d, h.Count(), h.Sum.Seconds(), h.Cumulative(), labels...)
}

// reasons exports the reasons that can occur, from 0 on, and any other that did.
func (s sink) reasons(d *prometheus.Desc, counts *[reason.Count]uint64, can func(reason.Reason) bool) {
	for _, r := range reason.All() {
		if counts[r] > 0 || can(r) {
			s.counter(d, counts[r], r.String())
		}
	}
}

func labelled[V int | uint64](s sink, d *prometheus.Desc, kind prometheus.ValueType, values map[string]V) {
	for label, v := range values {
		s.to <- prometheus.MustNewConstMetric(d, kind, float64(v), label)
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// runtimeMetrics are those beyond the usual that answer a question: how much CPU
// is the collector's, and do goroutines wait for a CPU, or for locks.
var runtimeMetrics = regexp.MustCompile(`^(/cpu/classes/gc/total:cpu-seconds|/sched/latencies:seconds|/sync/mutex/wait/total:seconds)$`)

func registry(b Build, read func() Snapshot) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collector{b, read},
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: runtimeMetrics})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}
