package load

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"belfry/internal/config"
	"belfry/internal/load/payload"
	"belfry/internal/load/receive"
)

// A Plan is what to measure. Zero values of what has a default for each scenario
// stand for that.
type Plan struct {
	Scenario      string
	Dialect       string
	URLs          []string
	PIDs          []string // name=PID
	Connections   int
	Channels      int
	Users         int
	Rate          float64 // publications a second; 0 is flat out, below 0 the scenario's own
	BroadcastRate float64
	BusyRate      float64
	BusySize      int // bytes
	Messages      int
	Duration      time.Duration
	InFlight      int
	Size          int    // bytes
	Publish       string // durable, core or live; empty as fits the dialect
	Answer        bool
	Tokens        string // a file
	Missed        int
	Slow          float64
	Processes     int
	Handshakes    int
	Settle        time.Duration
	Patience      time.Duration // for how long nothing may arrive before what is missing is lost
	Seed          string        // 8 hex digits; empty for a random one
}

// perProcess is how many connections a receiver process has at most, unless
// --processes says otherwise.
const perProcess = 19_000

// Defaults are a plan's before a scenario's own are known.
func Defaults() Plan {
	return Plan{
		Dialect: "messagechannel", Channels: 1, Rate: -1, BroadcastRate: 2, BusyRate: 20, BusySize: 4096,
		InFlight: 1024, Size: 128, Answer: true, Missed: 10, Slow: 0.05, Settle: 10 * time.Second, Patience: 10 * time.Second,
	}
}

type own struct {
	handshakes                   int
	connections, users, messages int
	rate                         float64
	duration                     time.Duration
}

var scenarios = map[string]own{
	"idle":    {connections: 10_000},
	"connect": {connections: 10_000},
	"fanout":  {connections: 1_000, messages: 10_000, duration: 10 * time.Second},
	"unicast": {connections: 10_000, messages: 100_000, duration: 10 * time.Second},
	"mixed":   {connections: 10_000, users: 1_000, rate: 200, duration: 10 * time.Second},
	"resume":  {connections: 10_000, handshakes: 2048},
	"slow":    {connections: 10_000, rate: 20_000, duration: 30 * time.Second},
}

// dialects are what can be spoken, and whether it is Belfry's.
var dialects = map[string]bool{"messagechannel": true, "eventsource": true, "centrifuge": false, "nats": false}

// Scenarios are their names.
func Scenarios() []string {
	return []string{"idle", "connect", "fanout", "unicast", "mixed", "resume", "slow"}
}

// Check puts in the scenario's own defaults, and checks the plan.
func (p *Plan) Check() error {
	own, ok := scenarios[p.Scenario]
	if !ok {
		return mistake("SCENARIO", fmt.Sprintf("is %q", p.Scenario), "take one of "+strings.Join(Scenarios(), ", "))
	}
	orElse(&p.Connections, own.connections)
	orElse(&p.Handshakes, max(own.handshakes, 256))
	if p.Users == 0 {
		p.Users = own.users
		if p.Scenario == "unicast" {
			p.Users = p.Connections
		}
	}
	if p.Rate < 0 {
		p.Rate = own.rate
	}
	if p.Duration == 0 && (p.Scenario == "mixed" || p.Scenario == "slow") {
		p.Duration = own.duration // of what goes on beside it, too
	}
	if p.Messages == 0 && p.Duration == 0 { // flat out ends by number, at a rate by time
		if own.messages > 0 && p.Rate == 0 {
			p.Messages = own.messages
		} else {
			p.Duration = own.duration
		}
	}
	ours, known := dialects[p.Dialect]
	if p.Publish == "" {
		p.Publish = "core"
		if ours {
			p.Publish = "durable"
		}
	}
	orElse(&p.Processes, (p.Connections+perProcess-1)/perProcess)
	if p.Seed == "" {
		var b [4]byte
		_, _ = rand.Read(b[:]) // it can't fail
		p.Seed = hex.EncodeToString(b[:])
	}
	if !known {
		return mistake("dialect", fmt.Sprintf("is %q", p.Dialect), "take messagechannel, eventsource, centrifuge or nats")
	}
	if err := p.check(ours); err != nil {
		return err
	}
	return p.checkURLs()
}

func orElse(n *int, otherwise int) {
	if *n == 0 {
		*n = otherwise
	}
}

func (p *Plan) check(ours bool) error {
	for _, n := range []struct {
		flag  string
		value int
		least int
	}{
		{"connections", p.Connections, 1}, {"channels", p.Channels, 1}, {"in-flight", p.InFlight, 1}, {"missed", p.Missed, 1},
		{"processes", p.Processes, 1}, {"handshakes", p.Handshakes, 1}, {"messages", p.Messages, 0}, {"users", p.Users, 0},
		{"size", p.Size, payload.Least}, {"busy-size", p.BusySize, payload.Least},
	} {
		if n.value < n.least {
			return mistake(n.flag, fmt.Sprintf("is %d", n.value), fmt.Sprintf("write %d or more", n.least))
		}
	}
	_, hexErr := hex.DecodeString(p.Seed)
	switch {
	case p.Processes > p.Connections:
		return mistake("processes", fmt.Sprintf("is %d for %d connections", p.Processes, p.Connections), "give each process one connection at least")
	case p.Channels > p.Connections:
		return mistake("channels", fmt.Sprintf("is %d for %d connections", p.Channels, p.Connections), "give each channel one connection at least")
	case p.Scenario == "unicast" && p.Users > p.Connections:
		return mistake("users", fmt.Sprintf("is %d for %d connections", p.Users, p.Connections), "give each user one connection at least")
	case p.Duration < 0:
		return mistake("duration", fmt.Sprintf("is %v", p.Duration), "write a duration, as 10s")
	case p.Settle < 0:
		return mistake("settle", fmt.Sprintf("is %v", p.Settle), "write a duration, as 10s")
	case p.Patience <= 0:
		return mistake("patience", fmt.Sprintf("is %v", p.Patience), "write a duration, as 10s")
	case p.Slow <= 0 || p.Slow >= 1:
		return mistake("slow", fmt.Sprintf("is %v", p.Slow), "write a share between 0 and 1, as 0.05")
	case p.BroadcastRate <= 0:
		return mistake("broadcast-rate", fmt.Sprintf("is %v", p.BroadcastRate), "write publications a second")
	case p.BusyRate <= 0:
		return mistake("busy-rate", fmt.Sprintf("is %v", p.BusyRate), "write publications a second")
	case hexErr != nil || len(p.Seed) != 8:
		return mistake("seed", fmt.Sprintf("is %q", p.Seed), "write 8 hex digits, as 1a2b3c4d")
	case !slices.Contains([]string{"durable", "core", "live"}, p.Publish):
		return mistake("publish", fmt.Sprintf("is %q", p.Publish), "take durable, core or live")
	case p.Publish == "live" && !ours:
		return mistake("publish", "is live", "only Belfry's own dialects know such: take core or durable")
	case !ours && (p.Scenario == "resume" || p.Scenario == "slow"):
		return mistake("dialect", fmt.Sprintf("is %s", p.Dialect), "the generator can bring back clients of messagechannel and eventsource only")
	case p.Publish != "durable" && (p.Scenario == "resume" || p.Scenario == "slow"):
		return mistake("publish", fmt.Sprintf("is %s", p.Publish), "what is not stored can't be sent to who comes back: take durable")
	}
	if p.Tokens != "" {
		if _, _, err := receive.ReadTokens(p.Tokens); err != nil {
			return mistake("tokens", fmt.Sprintf("can't be used: %v", err), "write a line for each user: TOKEN, a tab, the user id")
		}
	}
	return nil
}

func (p *Plan) checkURLs() error {
	if len(p.URLs) == 0 {
		return mistake("url", "is missing", "write where clients connect, as ws://127.0.0.1:6003/")
	}
	scheme, secure, example := "ws", "wss", "ws://127.0.0.1:6003/"
	if p.Dialect == "eventsource" {
		scheme, secure, example = "http", "https", "http://127.0.0.1:6003/events"
	}
	for _, text := range p.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return mistake("url", fmt.Sprintf("%q is none: %v", text, err), "write it as "+example)
		case u.Scheme == secure:
			return mistake("url", fmt.Sprintf("is %q", text), "the generator speaks no TLS: measure in front of what ends it, over "+scheme+"://")
		case u.Scheme != scheme || u.Hostname() == "":
			return mistake("url", fmt.Sprintf("is %q", text), "write it as "+example)
		}
	}
	return nil
}

// publishes tells whether the scenario publishes at all.
func (p *Plan) publishes() bool { return p.Scenario != "idle" && p.Scenario != "connect" }

// answers tells whether the generator answers authentication.
func (p *Plan) answers() bool { return p.Answer && p.Tokens == "" && p.Dialect != "nats" }

// NeedsNATS tells whether the plan needs a connection to NATS.
func (p *Plan) NeedsNATS() bool { return p.publishes() || p.answers() }

// channels tells whether fan-out is on channels, not on a user with many
// connections.
func (p *Plan) channels() bool { return p.Dialect != "messagechannel" }

func mistake(flag, what, remedy string) error {
	if flag != "SCENARIO" {
		flag = "--" + flag
	}
	return config.Problems{{Key: flag, What: what, Remedy: remedy}}
}
