package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Result is what was measured. Its JSON is for programs: every key is always
// there, but for those of a scenario's own. Where a duration or a latency is not
// there it was not measured.
type Result struct {
	Belfry    string    `json:"belfry"`
	Go        string    `json:"go"`
	Machine   Machine   `json:"machine"`
	Scenario  string    `json:"scenario"`
	Dialect   string    `json:"dialect"`
	Publish   string    `json:"publish"`
	Seed      string    `json:"seed"`
	Args      []string  `json:"args"`
	Started   time.Time `json:"started"`
	Cut       bool      `json:"interrupted,omitempty"`
	Conns     int       `json:"connections"`
	Channels  int       `json:"channels"`
	Size      int       `json:"size"`
	Rate      float64   `json:"rate"`
	Processes int       `json:"processes"`

	Published        uint64  `json:"published"`
	DurationS        float64 `json:"duration_s"`
	PublicationsPerS float64 `json:"publications_per_s"`
	DeliveriesPerS   float64 `json:"deliveries_per_s"`
	Counts
	Resets       uint64                  `json:"resets"`
	Foreign      uint64                  `json:"foreign"`
	Closed       int                     `json:"closed"`
	CloseReasons map[string]int          `json:"close_reasons"`
	Groups       map[string]*GroupResult `json:"groups,omitempty"`

	Servers          []Server           `json:"servers"`
	CPUPerDelivery   map[string]float64 `json:"cpu_us_per_delivery"`
	CPUPerConnection map[string]float64 `json:"cpu_us_per_connection"`
	RSSPerConnection map[string]float64 `json:"rss_bytes_per_connection"`
	KernelPerConn    float64            `json:"kernel_bytes_per_connection"`

	Connect ConnectResult  `json:"connect"`
	Cold    *ConnectResult `json:"connect_cold,omitempty"`
	Resume  *ResumeResult  `json:"resume,omitempty"`
	Slow    *SlowResult    `json:"slow,omitempty"`

	Generator struct {
		CPUS           float64 `json:"cpu_s"`
		CPUPerDelivery float64 `json:"cpu_us_per_delivery"`
	} `json:"generator"`
}

// Counts are what became of publications, over all connections that were to
// have them.
type Counts struct {
	Expected     uint64  `json:"expected"`
	Deliveries   uint64  `json:"deliveries"`
	Lost         uint64  `json:"lost"`
	Duplicated   uint64  `json:"duplicated"`
	Reordered    uint64  `json:"reordered"`
	Misdelivered uint64  `json:"misdelivered"`
	Latency      Latency `json:"latency_ms"`
}

// A GroupResult is the counts of a part of the connections.
type GroupResult struct{ Counts }

// A Latency is a distribution, in ms.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
	Mean  float64 `json:"mean"`
}

// A Server is a process that was named by --pid, or several of one name.
type Server struct {
	Name       string  `json:"name"`
	PIDs       []int   `json:"pids"`
	CPUS       float64 `json:"cpu_s"`
	CPUUserS   float64 `json:"cpu_user_s"`
	CPUSystemS float64 `json:"cpu_system_s"`
	RSSBefore  int64   `json:"rss_before_bytes"`
	RSSAfter   int64   `json:"rss_after_bytes"`
	RSSPeak    int64   `json:"rss_peak_bytes"`
}

// A ConnectResult is how connecting went, from TCP to subscribed.
type ConnectResult struct {
	TookS   float64            `json:"took_s"`
	PerS    float64            `json:"per_s"`
	Latency Latency            `json:"latency_ms"`
	CPU     map[string]float64 `json:"cpu_us_per_connection,omitempty"`
}

// A ResumeResult is how coming back went, from the first client's coming.
type ResumeResult struct {
	Clients int     `json:"clients"`
	Missed  int     `json:"missed"`
	TookS   float64 `json:"took_s"`
	Latency Latency `json:"latency_ms"`
}

// A SlowResult is what became of those who don't read.
type SlowResult struct {
	Clients        int            `json:"clients"`
	Closed         int            `json:"closed"`
	Complete       int            `json:"complete"`
	Reasons        map[string]int `json:"reasons"`
	BackDuplicated uint64         `json:"back_duplicated"`
	P99Ratio       float64        `json:"p99_ratio"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	if h == nil || h.TotalCount() == 0 {
		return Latency{}
	}
	return Latency{
		Count: h.TotalCount(), Max: ms(h.Max()), Mean: h.Mean() / 1000,
		P50: ms(h.ValueAtQuantile(50)), P90: ms(h.ValueAtQuantile(90)), P99: ms(h.ValueAtQuantile(99)), P999: ms(h.ValueAtQuantile(99.9)),
	}
}

// Wrong tells whether anything was lost, or came twice, out of order or to
// another, that should not have.
func (r *Result) Wrong() bool { return r.Lost+r.Duplicated+r.Reordered+r.Misdelivered > 0 }

// group enters a part's counts.
func (r *Result) group(name string, c Counts) {
	if r.Groups == nil {
		r.Groups = map[string]*GroupResult{}
	}
	r.Groups[name] = &GroupResult{c}
}

// add adds counts. The latency is that of the last that has one.
func (c *Counts) add(d Counts) {
	c.Expected += d.Expected
	c.Deliveries += d.Deliveries
	c.Lost += d.Lost
	c.Duplicated += d.Duplicated
	c.Reordered += d.Reordered
	c.Misdelivered += d.Misdelivered
	if c.Latency.Count == 0 || d.Latency.Count > 0 {
		c.Latency = d.Latency
	}
}
