package verify

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"belfry/internal/verify/judge"
)

// A Report is what was found. Times are in seconds.
type Report struct {
	Topology     Topology           `json:"topology"`
	Seed         uint64             `json:"seed"`
	Took         float64            `json:"took"`
	Users        int                `json:"users"`
	Clients      int                `json:"clients"`
	Published    int                `json:"published"`
	Acknowledged int                `json:"acknowledged"`
	Delivered    int                `json:"delivered"` // to all clients, what came again too
	Connections  int                `json:"connections"`
	Counts       map[string]int     `json:"counts"` // faults by kind, and what else was counted
	Resets       map[string]int     `json:"resets"` // by reason
	Again        int                `json:"again"`
	AgainAway    int                `json:"again_away"`
	AgainLate    int                `json:"again_late"`
	Longest      float64            `json:"again_longest"`
	PassedOver   int                `json:"passed_over"`
	Stale        int                `json:"stale"`
	Recoveries   []Recovery         `json:"recoveries"`
	Violations   []judge.Violation  `json:"violations"`
	Wrong        map[judge.Kind]int `json:"wrong"` // by kind
}

// A Recovery is how long something took to be well again.
type Recovery struct {
	What   string        `json:"what"`
	After  string        `json:"after"`
	Took   time.Duration `json:"took_ns"`
	Stored int           `json:"stored"` // messages published in this run by then
	Beside []string      `json:"beside"` // what else was harmed meanwhile: NATS that is away has to be waited for
}

func newReport(r *run, h *judge.History, v *judge.Verdict) *Report {
	p := &Report{
		Topology: r.Topology, Seed: r.Seed, Took: r.rec.now().Seconds(), Users: len(r.people.users), Clients: len(h.Clients),
		Published: len(h.Publications), Delivered: v.Delivered, Counts: r.rec.counts, Resets: v.Resets,
		Again: v.Again, AgainAway: v.AgainAway, AgainLate: v.AgainLate, Longest: v.Longest.Seconds(), PassedOver: v.PassedOver, Stale: v.Stale,
		Recoveries: append(r.rec.recoveries, deliveries(h, r.rec.leaders)...), Violations: append([]judge.Violation{}, v.Violations...), Wrong: map[judge.Kind]int{},
	}
	p.Connections = p.Counts["connections"]
	delete(p.Counts, "connections")
	for _, pub := range h.Publications {
		if pub.Acked > 0 {
			p.Acknowledged++
		}
	}
	for _, k := range judge.Kinds() {
		p.Wrong[k] = v.Count(k)
	}
	return p
}

// deliveries are how long it took, from when NATS had a leader, until something
// came that was acknowledged after that.
func deliveries(h *judge.History, leaders []time.Duration) (list []Recovery) {
	acked := map[string]time.Duration{}
	for _, p := range h.Publications {
		acked[p.ID] = p.Acked
	}
	for _, at := range leaders {
		first := time.Duration(-1)
		for _, c := range h.Clients {
			for _, conn := range c.Conns {
				if conn.Closed < at || first >= 0 && conn.Opened > first {
					continue
				}
				for _, e := range conn.Events {
					if e.What == judge.Got && e.At >= at && acked[e.ID] >= at && (first < 0 || e.At < first) {
						first = e.At
						break
					}
				}
			}
		}
		if first >= 0 {
			list = append(list, Recovery{What: "NATS from having a leader until the first delivery", After: string(killNode), Took: first - at})
		}
	}
	return list
}

// OK says that the promise was kept.
func (p *Report) OK() bool {
	for _, n := range p.Wrong {
		if n > 0 {
			return false
		}
	}
	return true
}

// Write writes the report for people.
func (p *Report) Write(w io.Writer) {
	f := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	f("topology %s, seed %d, %.0fs", p.Topology, p.Seed, p.Took)
	f("%d users, %d clients, %d connections", p.Users, p.Clients, p.Connections)
	f("published %d, acknowledged %d, delivered %d", p.Published, p.Acknowledged, p.Delivered)
	for _, name := range keys(p.Counts) {
		f("  %-48s %d", name, p.Counts[name])
	}
	for _, reason := range keys(p.Resets) {
		f("  %-48s %d", "reset: "+reason, p.Resets[reason])
	}
	f("without positions, came again as documented: %d, at most %.1fs before the break; %d more while something was away, and %d from where a connection broke off whose client was back before its gateway knew", p.Again-p.AgainAway, p.Longest, p.AgainAway, p.AgainLate)
	if p.PassedOver > 0 {
		f("purged while a client was being sent just that: %d", p.PassedOver)
	}
	if p.Stale > 0 {
		f("under the old epoch, in the seconds before a stream's change was seen: %d", p.Stale)
	}
	p.recovery(f)
	var wrong []string
	for _, k := range judge.Kinds() {
		wrong = append(wrong, fmt.Sprintf("%s %d", k, p.Wrong[k]))
	}
	f("%s", strings.Join(wrong, ", "))
	for _, v := range p.Violations {
		f("\n%s", v)
		for _, l := range v.Story {
			f("    %s", l)
		}
	}
}

// gatewayName is what one gateway's recovery has before another's.
var gatewayName = regexp.MustCompile(`gateway \S+ `)

// recovery says of each thing how often it recovered, and how quickly.
func (p *Report) recovery(f func(string, ...any)) {
	all := map[string][]time.Duration{}
	for _, r := range p.Recoveries {
		key := gatewayName.ReplaceAllString(r.What, "gateway ") + ", after " + r.After
		if len(r.Beside) > 0 {
			key += ", something else being harmed meanwhile"
		}
		all[key] = append(all[key], r.Took)
	}
	for _, key := range keys(all) {
		took := all[key]
		slices.Sort(took)
		if len(took) == 1 {
			f("  %s: once, %.3fs", key, took[0].Seconds())
			continue
		}
		f("  %s: %d times, median %.3fs, longest %.3fs", key, len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds())
	}
}

func keys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
