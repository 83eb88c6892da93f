package eventsource

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"belfry/internal/ask"
	"belfry/internal/auth"
	"belfry/internal/backend"
	"belfry/internal/config"
	"belfry/internal/position"
	"belfry/internal/reason"
	"belfry/internal/transport"
)

// Streams takes connections over; transport.Server is one.
type Streams interface {
	AcceptStream(w http.ResponseWriter, r *http.Request, dialect string, header http.Header, open func(*transport.Conn) transport.Session) reason.Reason
	// Leaving is closed when no connection is taken over any more.
	Leaving() <-chan struct{}
}

// Serve answers a request. It waits for the backend, because what the backend
// says decides the status; the connection that follows needs no goroutine. Of f
// it takes the remote address, the origin and the user agent.
//
// It returns why the request was refused; None where it was not. Where nobody
// waits for the answer any more it panics with http.ErrAbortHandler.
func (d *Dialect) Serve(s Streams, w http.ResponseWriter, r *http.Request, o *config.Options, f ask.Facts) reason.Reason {
	if answered, why := greet(w, r, o); answered {
		return why
	}
	req, err := parse(r, o.Public)
	if err != nil {
		return refuseRequest(w, http.StatusBadRequest, reason.BadHandshake, err.Error())
	}
	if len(req.token) == 0 {
		return refuseToken(w, reason.TokenRequired, tokenRequired)
	}
	unhurried(w)
	f.Dialect, f.Connection = Name, fmt.Sprintf("%016x", rand.Uint64())
	wait := waiting{r.Context().Done(), s.Leaving()}
	result, ok := d.authenticate(wait, req.token, f)
	switch {
	case !ok:
		return wait.inVain(w, o)
	case result.Outcome == auth.Refused:
		return refuseToken(w, reason.AuthRefused, result.Reply)
	case result.Outcome != auth.Accepted:
		return notNow(w, o, result.Outcome.Reason())
	}
	f.User = result.Identity.User
	a := admission{request: req, identity: result.Identity, options: o.EventSource, askedAs: f.Connection}
	if why, ok := d.permit(wait, &a, f); !ok {
		return wait.inVain(w, o)
	} else if why != reason.None {
		return notNow(w, o, why)
	}
	a.from = d.hub.Marks() // from here on the client may count on what is published
	setStream(w.Header())
	why := s.AcceptStream(w, r, Name, w.Header().Clone(), func(c *transport.Conn) transport.Session { return d.open(c, a) })
	if why == reason.Limit || why == reason.Drain {
		return notNow(w, o, why)
	}
	return why
}

// waiting is for the backend, until one of these is closed.
type waiting struct {
	gone    <-chan struct{} // the client
	leaving <-chan struct{} // the gateway
}

// inVain tells a client that the gateway leaves; to one that has gone there is
// nothing to say, and net/http would say 200 to one that has closed its side only.
func (wait waiting) inVain(w http.ResponseWriter, o *config.Options) reason.Reason {
	select {
	case <-wait.leaving:
		return notNow(w, o, reason.Drain)
	default:
		panic(http.ErrAbortHandler)
	}
}

// unhurried takes the server's time limits from a request: how long it may take
// is how long the backend may. What can't be set is not limited.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
}

// authenticate waits for the backend; false where the client does not, or is
// not to.
func (d *Dialect) authenticate(wait waiting, token []byte, f ask.Facts) (auth.Result, bool) {
	answer := make(chan auth.Result, 1)
	cancel := d.auth.Authenticate(token, f, false, func(r auth.Result) { answer <- r })
	select {
	case result := <-answer:
		return result, true
	case <-wait.gone:
	case <-wait.leaving:
	}
	cancel()
	return auth.Result{}, false
}

// An admission is a client that is let in, and with what.
type admission struct {
	request
	identity auth.Identity
	options  config.EventSource
	from     position.Position // where the streams stood when it was let in
	askedAs  string            // the connection's name towards the backend: it had none yet
	channels []string          // beside the personal one
	denied   []string          // asked for, and not to be read
}

// permit settles which channels the client may read. Where one can't be settled
// now it returns why: to let the client in without it would be to lose what is
// published there. It returns false as authenticate does.
func (d *Dialect) permit(wait waiting, a *admission, f ask.Facts) (reason.Reason, bool) {
	own := "#" + a.identity.User
	isOwn := func(channel string) bool { return channel == own }
	granted := slices.DeleteFunc(slices.Clone(a.identity.Channels), isOwn)
	wanted := slices.DeleteFunc(a.request.channels, func(c string) bool { return isOwn(c) || slices.Contains(granted, c) })
	a.channels = granted
	type answer struct {
		channel string
		backend.Decision
	}
	answers := make(chan answer, len(wanted))
	for _, channel := range wanted { // each by itself: one that is refused shall not keep the others from being asked about
		cancel := d.access.Subscribe(a.identity.User, granted, []string{channel}, f, func(got backend.Decision) { answers <- answer{channel, got} })
		defer cancel()
	}
	for range wanted {
		select {
		case got := <-answers:
			switch got.Outcome {
			case ask.Accepted:
				a.channels = append(a.channels, got.channel)
			case ask.Refused:
				a.denied = append(a.denied, got.channel)
			default:
				return got.Reason(), true
			}
		case <-wait.gone:
			return reason.None, false
		case <-wait.leaving:
			return reason.None, false
		}
	}
	return reason.None, true
}
