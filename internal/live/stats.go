package live

import "github.com/nats-io/nats.go"

// Stats is what there is to count.
type Stats struct {
	Publications map[string]uint64 // handed to the hub, by source
	Misspelled   uint64            // not handed on: the subject is not canonical
	Dropped      uint64            // by the NATS client, because the feed was too slow
	Followed     int               // users whose legacy subject is subscribed to
}

// Stats reads the counters. It looks at each followed user's subscription.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{
		Publications: make(map[string]uint64, sources),
		Misspelled:   f.misspelled.Load(),
		Dropped:      f.dropped(),
		Followed:     len(f.follow),
	}
	for from, name := range sourceNames {
		s.Publications[name] = f.counts[from].Load()
	}
	return s
}

// drops counts what the NATS client dropped, over subscriptions that come and
// go.
type drops struct {
	ended  uint64 // of subscriptions that have ended
	logged uint64
}

func dropsOf(sub *nats.Subscription) uint64 {
	if sub == nil {
		return 0
	}
	n, err := sub.Dropped()
	if err != nil { // it has ended
		return 0
	}
	return uint64(n)
}

// dropped adds up what was dropped and logs what is new. Call with mu held.
func (f *Feed) dropped() uint64 {
	n := f.drops.ended
	for _, sub := range f.wild {
		n += dropsOf(sub)
	}
	for _, one := range f.follow {
		n += dropsOf(one.sub)
	}
	if n > f.drops.logged {
		f.log.Warn("NATS messages were dropped: they came faster than they could be handed on", "dropped", n-f.drops.logged, "dropped_total", n)
		f.drops.logged = n
	}
	return n
}
