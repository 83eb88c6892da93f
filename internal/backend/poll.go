package backend

import (
	"sync"

	"belfry/internal/ask"
)

// A poll asks about several channels at once and ends with the first that is
// not accepted, with the last answer, or when it is given up.
type poll struct {
	done func(Decision)

	mu      sync.Mutex // guards the following; not held while others are called
	left    int        // answers to come
	over    bool
	cancels []func() bool
}

func (p *Policy) poll(user string, channels []string, f ask.Facts, done func(Decision)) (cancel func() bool) {
	all := &poll{done: done, left: len(channels)}
	for _, channel := range channels {
		q := Question{User: user, Channel: channel, Action: Subscribe}
		giveUp := p.authorizer.Authorize(q, f, func(o ask.Outcome) { all.answered(channel, o) })
		if !all.keep(giveUp) {
			giveUp()
			break
		}
	}
	return all.cancel
}

// keep notes how to give a question up, while the poll lasts.
func (p *poll) keep(giveUp func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.cancels = append(p.cancels, giveUp)
	}
	return !p.over
}

func (p *poll) answered(channel string, o ask.Outcome) {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return
	}
	p.left--
	p.over = o != ask.Accepted || p.left == 0
	ended, rest := p.over, p.cancels
	p.mu.Unlock()
	switch {
	case !ended:
		return
	case o == ask.Accepted:
		p.done(Decision{})
		return
	}
	for _, giveUp := range rest {
		giveUp()
	}
	p.done(Decision{o, channel})
}

// cancel returns false when done was or will be called.
func (p *poll) cancel() bool {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return false
	}
	p.over = true
	rest := p.cancels
	p.mu.Unlock()
	for _, giveUp := range rest {
		giveUp()
	}
	return true
}
