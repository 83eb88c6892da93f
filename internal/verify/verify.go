// Package verify is the verifier behind `belfry verify`: a model beside the
// system that tries to break the promise of docs/delivery.md.
//
// It publishes, waits for each acknowledgement, and tries again with the same
// message id until it has it. Its clients speak every dialect, come and go, and
// come back to any gateway with the position that they have, or with none. In
// systems that it started itself it meanwhile kills, stops, cuts off, fills and
// purges what there is, by a plan that follows from a seed. When all is well
// again and every client should have everything, package judge says what each
// was owed, and what it got.
//
// It shares no code with what it judges, the spelling of positions and subjects
// aside. Its clients are plain goroutines.
package verify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/subject"
	"belfry/internal/verify/judge"
)

// A Topology is what is put to the test.
type Topology string

const (
	// R1 is a gateway with NATS inside, and a second one that uses it from
	// outside.
	R1 Topology = "r1"
	// R3 is three nats-server processes, streams on all of them, and three
	// gateways.
	R3 Topology = "r3"
	// Remote is what somebody else runs. Nothing is done to it.
	Remote Topology = "remote"
)

// Options say what to do.
type Options struct {
	Topology Topology
	Seed     uint64
	Duration time.Duration // of publishing and faults; all in all it takes longer
	Users    int
	Channels int     // shared ones
	Rate     float64 // publications a second
	Names    subject.Names
	Say      func(string) // takes a line about what happens

	// R1 and R3
	Belfry     string // the binary
	NATSServer string // R3: the binary
	Dir        string // where they keep their data and logs

	// Remote
	NATS     *nats.Conn
	Gateways []string          // http:// URLs
	Tokens   map[string]string // user to token, where a backend answers; else we do
}

// Check says what is wrong with the options, nil where nothing is.
func (o Options) Check() error {
	switch {
	case o.Topology != R1 && o.Topology != R3 && o.Topology != Remote:
		return fmt.Errorf("topology %q: it is %s or %s", o.Topology, R1, R3)
	case o.Duration <= 0:
		return fmt.Errorf("a duration of %s: it must be above 0", o.Duration)
	case o.Users < 1 || o.Users > 10_000:
		return fmt.Errorf("%d users: it is 1 to 10000", o.Users)
	case o.Rate <= 0 || o.Rate > 20_000:
		return fmt.Errorf("a rate of %v: it is above 0, and at most 20000", o.Rate)
	case o.Channels < 0 || o.Channels > 100:
		return fmt.Errorf("%d channels: it is 0 to 100", o.Channels)
	case o.Topology == Remote && len(o.Gateways) == 0:
		return errors.New("no gateway is named")
	}
	return nil
}

// Run does it all, and reports what was found. An error says that it could not
// be done, or that the system did not get well again after a fault; the report
// then says what was found until then, if there is one.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	rec := newRecord(o.Say)
	s, err := remote(rec, o)
	if o.Topology != Remote {
		s, err = startSystem(ctx, rec, o)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.close() }()
	r := &run{Options: o, rec: rec, system: s}
	if s.ours {
		r.plan = newPlanner(o.Seed, o.Topology).next
	}
	return r.run(ctx)
}

// A run is one run.
type run struct {
	Options
	rec      *record
	system   *system
	press    *press
	people   *people
	plan     func() (rest time.Duration, t turn) // nil: nothing is done
	settling atomic.Bool
}

const (
	// settleWithin bounds how long everybody may take to have everything when all
	// is well again; strays is for what would come too often.
	settleWithin = 40 * time.Second
	strays       = 1500 * time.Millisecond
)

func (r *run) run(ctx context.Context) (*Report, error) {
	r.people = newPeople(r)
	if r.Tokens == nil {
		s, err := answer(r.system.nc, r.Names, r.people.granted)
		if err != nil {
			return nil, err
		}
		defer func() { _ = s.Unsubscribe() }()
	}
	r.press = &press{rec: r.rec, nc: r.system.nc, names: r.Names, rate: r.Rate, name: r.people.prefix, pick: r.people.pick}
	if r.system.ours { // who runs theirs may not allow it
		r.press.ttl = r.Duration + after
	}

	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var clients, press sync.WaitGroup
	for _, c := range r.people.clients {
		clients.Go(func() { c.run(living) })
	}
	publishing, hush := context.WithTimeout(ctx, r.Duration)
	defer hush()
	press.Go(func() { r.press.run(publishing, r.Seed) })
	failed := r.faults(publishing)
	if failed == nil {
		<-publishing.Done()
	}
	hush()
	press.Wait()
	r.settle()
	end()
	clients.Wait()
	r.system.leading.Wait()
	if ctx.Err() != nil {
		failed = errors.Join(failed, errors.New("interrupted"))
	}
	return r.report(), failed
}

// faults does one turn after another, until time is over.
func (r *run) faults(ctx context.Context) error {
	if r.plan == nil {
		return nil
	}
	for {
		rest, t := r.plan()
		if !sleep(ctx, rest) {
			return nil
		}
		if err := r.system.take(context.WithoutCancel(ctx), t, r.press); err != nil {
			r.rec.note("stopped: %v", err)
			return err
		}
	}
}

// settle has everybody stay connected until they have everything, or had the
// time for it.
func (r *run) settle() {
	r.settling.Store(true)
	r.rec.note("all is published and acknowledged; clients stay, and are waited for")
	for end := time.Now().Add(settleWithin); time.Now().Before(end); {
		if r.people.have() {
			r.rec.note("every client has the newest of each of its channels")
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(strays)
}

func (r *run) report() *Report {
	h := &judge.History{Publications: r.rec.publications, Changes: r.rec.changes, Away: r.rec.away, Unheard: r.rec.unheard(), Notes: r.rec.notes}
	for _, c := range r.people.clients {
		h.Clients = append(h.Clients, c.history)
	}
	return newReport(r, h, judge.Judge(h))
}

// seeded is a source of chance that follows from the seed.
func seeded(seed, what uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, what)) }
