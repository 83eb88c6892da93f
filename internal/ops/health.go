package ops

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// A State is why a gateway is not ready, one word, or Ready.
type State string

const (
	Ready         State = "ready"
	Starting      State = "starting"       // it has not been ready yet; the text says what it waits for
	Draining      State = "draining"       // it was told to stop
	NATSAway      State = "nats_away"      // it was ready, and NATS has been away for too long
	StreamMissing State = "stream_missing" // it was ready, and a stream that it needs is gone, or there in part
	NotStoring    State = "not_storing"    // it was ready, and NATS can't write what is published
	Misconfigured State = "misconfigured"  // something that waiting does not mend
)

// Health is the answer of the internal port's /healthz and /readyz, and what
// the public port's answers are taken from.
type Health struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // a sentence for people; empty when ready

	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Durable   bool      `json:"durable"`
	Streams   []Stored  `json:"streams"` // empty where nothing is stored
	NATS      NATS      `json:"nats"`
	Connected int       `json:"connections"`
}

// Stored is what Health says of a stream.
type Stored struct {
	Name      string     `json:"name"`             // in NATS
	Watermark uint64     `json:"watermark"`        // up to here it was handed to the connections
	Lag       uint64     `json:"lag"`              // messages behind that
	Oldest    *time.Time `json:"oldest,omitempty"` // when the oldest message was stored
	MaxAge    string     `json:"max_age"`          // how long they are kept, unless max_bytes evicts them
}

// NATS is what Health says of the connection to NATS.
type NATS struct {
	URL       string     `json:"url"` // without credentials
	Embedded  bool       `json:"embedded"`
	Connected bool       `json:"connected"`
	AwaySince *time.Time `json:"away_since,omitempty"`
}

// alive answers /healthz: who gets this answer, the process lives.
func alive(w http.ResponseWriter, _ *http.Request) {
	header(w, "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// readyWord answers the public /readyz: 200 or 503, and the state's word.
func readyWord(read func() Health) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := read()
		header(w, "text/plain; charset=utf-8")
		w.WriteHeader(h.status())
		_, _ = io.WriteString(w, string(h.State)+"\n")
	}
}

// details answers with all of Health: always 200 for /healthz, as readyWord
// does for /readyz.
func details(read func() Health, status func(Health) int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := read()
		header(w, "application/json")
		w.WriteHeader(status(h))
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(h) // fails only where the client is gone
	}
}

func (h Health) status() int {
	if h.State == Ready {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

func header(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
}
