package live

import "github.com/nats-io/nats.go"

// A followed user has a subscription to the original system's subject.
type followed struct {
	n   int // how many Follow without Unfollow
	sub *nats.Subscription
}

// Follow has what is published on notification_<user> handed to the hub until
// as many Unfollow have come. It returns at once. Messages that NATS gets after
// the subscription do reach the hub; whoever sends something to NATS through
// the same connection afterwards, and is answered, knows that it is in force.
func (f *Feed) Follow(user string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	if one := f.follow[user]; one != nil {
		one.n++
		return
	}
	one := &followed{n: 1}
	f.follow[user] = one
	name, err := f.names.LegacyUser(user)
	if err == nil {
		one.sub, err = f.nc.ChanSubscribe(name, f.in)
	}
	if err != nil {
		f.log.Error("subscribing to a user's legacy subject failed; what is published there does not arrive", "user", user, "err", err)
	}
}

// Unfollow takes back one Follow; the last one ends the subscription.
func (f *Feed) Unfollow(user string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.follow[user]
	if one == nil {
		return
	}
	if one.n--; one.n > 0 {
		return
	}
	delete(f.follow, user)
	f.end(one.sub)
}
