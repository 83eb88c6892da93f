package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A fault is something that is done to one part of the system, and undone
// after a while.
type fault struct {
	kind  kind
	part  int           // which gateway, node or stream, from 0
	after time.Duration // since the turn began
	hold  time.Duration
	off   time.Duration // stepClock: by how much it is wrong
}

func (f fault) String() string {
	if f.kind == stepClock {
		return fmt.Sprintf("%s %d by %s", f.kind, f.part+1, f.off)
	}
	return fmt.Sprintf("%s %d", f.kind, f.part+1)
}

// A kind is what a fault does.
type kind string

const (
	killGateway      kind = "kill -9 gateway"
	terminateGateway kind = "SIGTERM gateway"
	stopGateway      kind = "SIGSTOP gateway"
	stepClock        kind = "step the clock of gateway"
	cutClients       kind = "cut the clients' line to gateway"
	freezeClients    kind = "freeze the clients' line to gateway"
	forgetClients    kind = "forget the clients' connections to gateway"
	slowClients      kind = "slow the clients' line to gateway"
	cutNATS          kind = "cut the line to NATS of gateway"
	freezeNATS       kind = "freeze the line to NATS of gateway"
	slowNATS         kind = "slow the line to NATS of gateway"
	killNode         kind = "kill -9 NATS node"
	terminateNode    kind = "SIGTERM NATS node"
	stopNode         kind = "SIGSTOP NATS node"
	fillDisk         kind = "full disk of NATS node"
	killAllNodes     kind = "kill -9 all NATS nodes, and first"
	fillGatewayDisk  kind = "full disk of gateway"
	purgeStream      kind = "purge stream"
	recreateStream   kind = "delete and re-create stream"
	restoreStream    kind = "restore an older copy of stream"
)

// scope is which part of the system a kind is about: of what a turn does, no two
// are about the same.
func (k kind) scope() string {
	switch k {
	case killGateway, terminateGateway, stopGateway, fillGatewayDisk:
		return "gateway"
	case stepClock:
		return "clock"
	case cutClients, freezeClients, forgetClients, slowClients:
		return "front"
	case cutNATS, freezeNATS, slowNATS:
		return "back"
	case killNode, terminateNode, stopNode, fillDisk, killAllNodes:
		return "node"
	}
	return "stream"
}

// A turn is some faults that overlap. A fault of a stream's history has a turn
// of its own: what was published before, during and after it must be certain.
type turn []fault

// away tells whether something is away meanwhile. A gateway whose clock is wrong
// is there.
func (t turn) away() bool {
	return slices.ContainsFunc(t, func(f fault) bool { return f.kind != stepClock })
}

// A planner makes the plan, which follows from the seed and the topology alone.
// How long a turn takes does not, so the plan has no end: who carries it out
// stops when time is over.
type planner struct {
	rng      *rand.Rand
	gateways []int // to which the faults of processes and lines can be done
	backs    []int // that have a line to NATS
	nodes    int
	embedded bool // gateway 1 has NATS inside
	bag      []kind
}

func newPlanner(seed uint64, t Topology) *planner {
	p := &planner{rng: rand.New(rand.NewPCG(seed, 7))}
	switch t {
	case R1:
		p.gateways, p.backs, p.embedded = []int{0, 1}, []int{1}, true
	case R3:
		p.gateways, p.backs, p.nodes = []int{0, 1, 2}, []int{0, 1, 2}, 3
	}
	return p
}

// next is the next turn, and how long to rest before it.
func (p *planner) next() (rest time.Duration, t turn) {
	rest = p.time(500*time.Millisecond, 2*time.Second)
	return rest, p.turn()
}

func (p *planner) turn() turn {
	var t turn
	for want := 1 + p.rng.IntN(3); len(t) < want; {
		k := p.draw()
		f := fault{kind: k, part: p.part(k), after: p.time(0, 1500*time.Millisecond), hold: p.time(200*time.Millisecond, 4*time.Second)}
		if k == stepClock {
			f.off = p.step()
		}
		if k.scope() == "stream" {
			if len(t) > 0 { // its turn is the next one
				p.bag = append(p.bag, k)
				return t
			}
			f.after = 0
			return turn{f}
		}
		for _, other := range t {
			if other.kind.scope() == f.kind.scope() && (other.part == f.part || f.kind == killAllNodes || other.kind == killAllNodes) {
				return t
			}
		}
		t = append(t, f)
	}
	return t
}

// draw takes a kind out of a bag that has each, as often as it weighs: so a run
// that is long enough sees them all.
func (p *planner) draw() kind {
	if len(p.bag) == 0 {
		p.bag = []kind{
			killGateway, killGateway, killGateway, terminateGateway, terminateGateway, stopGateway, stepClock, stepClock,
			cutClients, freezeClients, forgetClients, slowClients,
			cutNATS, freezeNATS, slowNATS, purgeStream, recreateStream, restoreStream,
		}
		if p.nodes > 0 {
			p.bag = append(p.bag, killNode, killNode, killNode, terminateNode, stopNode, fillDisk, killAllNodes)
		} else {
			p.bag = append(p.bag, killGateway, fillGatewayDisk)
		}
		p.rng.Shuffle(len(p.bag), func(i, j int) { p.bag[i], p.bag[j] = p.bag[j], p.bag[i] })
	}
	last := len(p.bag) - 1
	k := p.bag[last]
	p.bag = p.bag[:last]
	return k
}

func (p *planner) part(k kind) int {
	switch {
	case k == fillGatewayDisk:
		return 0 // the one that has a disk in use
	case k.scope() == "back":
		return p.backs[p.rng.IntN(len(p.backs))]
	case k.scope() == "node":
		return p.rng.IntN(p.nodes)
	case k.scope() == "stream":
		return p.rng.IntN(2)
	}
	return p.gateways[p.rng.IntN(len(p.gateways))]
}

func (p *planner) time(from, to time.Duration) time.Duration {
	return from + time.Duration(p.rng.Int64N(int64(to-from)))
}

// step is by how much a clock is wrong: forward or back, as often by seconds as
// by hours.
func (p *planner) step() time.Duration {
	size := []time.Duration{time.Second, time.Minute, time.Hour}[p.rng.IntN(3)]
	off := p.time(size, 6*size).Round(time.Millisecond)
	if p.rng.IntN(2) == 0 {
		return -off
	}
	return off
}
