package receive

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"belfry/internal/load/payload"
)

// A group is a Group, its connections and what they have counted.
type group struct {
	Group
	protocol protocol
	reader   payload.Reader
	targets  []target
	tokens   []string
	users    []string // of these
	conns    []conn
	spreads  []spread // by index, from Base on

	todo    []*conn // to be connected
	opening int     // on their way

	count     Progress
	report    Report // the counts of it
	goal      uint64
	goalSince int64 // ns

	latency, connect, caught *hdrhistogram.Histogram
}

// A target is where a URL leads.
type target struct {
	host string // for the header
	path string // and query
	at   netip.AddrPort
}

// Histogram makes one for µs up to half an hour, to three digits.
func Histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 1_800_000_000, 3) }

func newGroup(o Group) (*group, error) {
	g := &group{Group: o, reader: payload.NewReader(o.Seed)}
	switch o.Dialect {
	case "messagechannel":
		g.protocol = websocket{messageChannel{}}
	case "eventsource":
		g.protocol = eventSource{}
	case "centrifuge":
		g.protocol = websocket{centrifuge{}}
	case "nats":
		g.protocol = websocket{natsClient{}}
	default:
		return nil, fmt.Errorf("there is no dialect %q", o.Dialect)
	}
	for _, text := range o.URLs {
		t, err := parseTarget(text)
		if err != nil {
			return nil, err
		}
		g.targets = append(g.targets, t)
	}
	if o.Tokens != "" {
		var err error
		if g.tokens, g.users, err = ReadTokens(o.Tokens); err != nil {
			return nil, err
		}
	}
	g.conns = make([]conn, o.To-o.From)
	for i := range g.conns {
		g.conns[i] = conn{group: g, fd: -1, number: o.From + i}
	}
	g.spreads = make([]spread, o.Mod)
	g.count.Group = o.Name
	g.clear()
	g.connect = Histogram()
	return g, nil
}

// clear begins counting anew. What was published until now is settled: a
// connection's track goes on.
func (g *group) clear() {
	g.count.Deliveries, g.count.Complete, g.count.Caught, g.count.Sentinels = 0, 0, 0, 0
	g.report = Report{Group: g.Name, Failures: map[string]int{}, Closed: map[string]int{}}
	g.latency, g.caught = Histogram(), Histogram()
	for i := range g.conns {
		g.conns[i].sentinel = false
	}
}

// Name is what a run calls its user or channel n.
func Name(seed string, n int) string { return "b" + seed + "-" + strconv.Itoa(n) }

// token is what a connection shows.
func (g *group) token(c *conn) string {
	n := c.index()
	if g.Channels {
		n = g.Users + c.number
	}
	if g.tokens != nil {
		return g.tokens[n%len(g.tokens)]
	}
	return "bench:" + Name(g.Seed, n)
}

// user is whose index it is, where that is a user.
func (g *group) user(c *conn) string {
	if g.users != nil {
		return g.users[c.index()%len(g.users)]
	}
	return Name(g.Seed, c.index())
}

// subject is what is published on for an index, with NATS for a server.
func (g *group) subject(c *conn) string {
	return g.Subjects[c.number%g.Mod]
}

// target is where a connection goes.
func (g *group) target(c *conn) target { return g.targets[c.number%len(g.targets)] }

// got takes a payload that a connection has received.
func (g *group) got(c *conn, m payload.Message, now int64) {
	if m.Index != uint64(c.index()) {
		g.report.Misdelivered++
		return
	}
	if m.Seq == 0 {
		if !c.sentinel {
			c.sentinel = true
			g.count.Sentinels++
		}
		return
	}
	switch c.track.got(m.Seq) {
	case duplicated:
		g.report.Duplicated++
		return
	case late:
		g.report.Reordered++
	}
	g.count.Deliveries++
	if c.phase == live {
		g.count.Complete += g.spreads[c.number%g.Mod].got(m.Seq)
	}
	_ = g.latency.RecordValue(max(now-m.At, 0) / 1000)
	if g.goal > 0 && c.track.last >= g.goal && !c.caught {
		c.caught = true
		g.count.Caught++
		_ = g.caught.RecordValue(max(now-g.goalSince, 0) / 1000)
	}
}

// ended takes a connection out that the other side has ended.
func (g *group) ended(c *conn, why string) {
	if c.phase == live {
		g.count.Subscribed--
		g.count.Closed++
		g.report.Closed[why]++
		g.count.Complete += g.spreads[c.number%g.Mod].leave(&c.track)
		return
	}
	g.opening--
	g.count.Failed++
	g.report.Failures[why]++
}

// waiting are the indexes that wait for a sentinel.
func (g *group) waiting() []int {
	seen := make([]bool, g.Mod)
	var indexes []int
	for i := range g.conns {
		c := &g.conns[i]
		if at := c.number % g.Mod; c.phase == live && !c.sentinel && !seen[at] {
			seen[at] = true
			indexes = append(indexes, g.Base+at)
		}
	}
	return indexes
}

// counts is the group's report without histograms, given how much was published
// on each index.
func (g *group) counts(published []uint64) Report {
	r := g.report
	r.Deliveries = g.count.Deliveries
	for i := range g.conns {
		c := &g.conns[i]
		if at := c.number % g.Mod; at < len(published) {
			lost := c.track.lost(published[at])
			r.Expected += published[at]
			r.Lost += lost
			if lost == 0 {
				r.Whole++
			}
		}
	}
	return r
}

// tell is the whole report.
func (g *group) tell(published []uint64) (*Report, error) {
	r := g.counts(published)
	for _, h := range []struct {
		from *hdrhistogram.Histogram
		to   *[]byte
	}{{g.latency, &r.Latency}, {g.connect, &r.Connect}, {g.caught, &r.Caught}} {
		text, err := h.from.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("encode a histogram: %w", err)
		}
		*h.to = text
	}
	return &r, nil
}

func parseTarget(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, fmt.Errorf("%q is no URL: %w", text, err)
	}
	if u.Port() == "" {
		u.Host += ":80"
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	at, err := net.ResolveTCPAddr("tcp", u.Host)
	if err != nil {
		return target{}, fmt.Errorf("%q: find the host: %w", text, err)
	}
	ip := at.AddrPort()
	return target{host: u.Host, path: path, at: netip.AddrPortFrom(ip.Addr().Unmap(), ip.Port())}, nil
}

// query appends a parameter to a path.
func query(path, name, value string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + name + "=" + value
}

// ReadTokens reads a file of TOKEN<TAB>USER lines.
func ReadTokens(path string) (tokens, users []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the tokens: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		token, user, ok := strings.Cut(strings.TrimRight(lines.Text(), "\r"), "\t")
		if !ok || token == "" || user == "" {
			return nil, nil, fmt.Errorf("read the tokens: line %d of %s is not a token, a tab and a user id", n, path)
		}
		tokens, users = append(tokens, token), append(users, user)
	}
	if err := lines.Err(); err != nil {
		return nil, nil, fmt.Errorf("read the tokens in %s: %w", path, err)
	}
	if len(tokens) == 0 {
		return nil, nil, fmt.Errorf("read the tokens: %s is empty", path)
	}
	return tokens, users, nil
}
