package hub

import "sync"

// An entry is a publication that somebody is subscribed to, with its frames:
// each encoding in use makes its own once, whichever shard comes first.
type entry struct {
	publication Publication

	mu    sync.Mutex // guards the following
	first encoded    // most publications are wanted in one encoding
	more  []encoded
}

type encoded struct {
	encoding *Encoding
	bytes    []byte
}

// frame returns the publication's bytes in an encoding.
func (e *entry) frame(encoding *Encoding) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first.encoding == encoding {
		return e.first.bytes
	}
	for _, f := range e.more {
		if f.encoding == encoding {
			return f.bytes
		}
	}
	f := encoded{encoding, encoding.encode(&e.publication)}
	if e.first.encoding == nil {
		e.first = f
	} else {
		e.more = append(e.more, f)
	}
	return f.bytes
}
