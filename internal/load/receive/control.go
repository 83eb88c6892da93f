// Package receive is the load generator's clients: as many connections as a
// process has descriptors for, on one goroutine.
//
// A coordinator tells a worker what to do by a Command a line of JSON, and gets
// an Event a line. Groups are opened first, and everything else names one:
//
//	open     here is a group of connections; they are not connected yet
//	connect  connect those that are not; those that were come back as a client
//	         of the dialect does, with their position if they keep one
//	close    end them: by the dialect's goodbye, or by a reset if Cut
//	stall    read no more from their sockets
//	read     read again
//	goal     note when each has got up to Seq, counted from At
//	clear    begin counting anew; where connections stand is kept
//	waiting  tell which indexes have a connection that has not got a sentinel
//	report   tell everything about the group. Published is how much was published
//	         on each of its indexes, from Base on
//
// Progress comes by itself when something has changed, at most every Group.Tell.
// A worker ends when its input does.
//
// One goroutine, the loop's, owns every connection and group; another one reads
// commands.
package receive

import "time"

// A Group is connections that are alike: number k of them, counted over all
// workers, is on index Base + k%Mod.
type Group struct {
	Name    string
	Dialect string
	URLs    []string
	Seed    string
	// From and To are this worker's part of the connections' numbers.
	From, To  int
	Base, Mod int
	// Channels says that an index is a channel, and connection k that of user
	// Users+k; else the index is the user.
	Channels bool
	Users    int
	// Subjects are what is published on for each index, from Base on; only the
	// dialect nats needs them.
	Subjects []string `json:",omitempty"`
	// Tokens is a file of TOKEN<TAB>USER lines, line n for user n; empty for
	// tokens that the coordinator answers for.
	Tokens string
	// Device gives each connection a delivered cursor of its own, where the
	// dialect knows such.
	Device bool
	// Positions says that connections keep theirs, where the dialect has such.
	Positions bool
	// Buffer is what the system may keep of what is not read, in bytes; 0 is its
	// own choice.
	Buffer int
	// Tell is the time between two tellings of progress.
	Tell time.Duration
	// Handshakes is how many connections are being opened at the same time.
	Handshakes int
}

// A Command is what a coordinator wants.
type Command struct {
	Do        string
	Group     string
	Open      *Group   `json:",omitempty"`
	Cut       bool     `json:",omitempty"`
	Seq       uint64   `json:",omitempty"`
	At        int64    `json:",omitempty"` // ns, CLOCK_MONOTONIC
	Published []uint64 `json:",omitempty"`
}

// An Event is what a worker has to say: one of these.
type Event struct {
	Progress []Progress `json:",omitempty"` // of all groups
	Waiting  *Waiting   `json:",omitempty"`
	Report   *Report    `json:",omitempty"`
	Failed   string     `json:",omitempty"` // and it ends
}

// Progress is how far a group is.
type Progress struct {
	Group      string
	Open       int    // connections with a socket
	Subscribed int    // of these, those that are known to be subscribed
	Failed     int    // could not be opened
	Closed     int    // ended by the other side after they were subscribed
	Sentinels  int    // have got a sentinel
	Caught     int    // have reached the goal
	Deliveries uint64 // received, duplicates aside
	Complete   uint64 // publications that every connection here has received
}

// Waiting are the indexes that wait for a sentinel.
type Waiting struct {
	Group   string
	Indexes []int
}

// A Report is everything about a group. Histograms are of µs, in HdrHistogram's
// own encoding.
type Report struct {
	Group        string
	Expected     uint64
	Deliveries   uint64
	Lost         uint64
	Duplicated   uint64
	Reordered    uint64
	Misdelivered uint64
	Foreign      uint64 // payloads of another run
	Resets       uint64 // told by eventsource
	Whole        int    // connections that have got everything
	Failures     map[string]int
	Closed       map[string]int
	Latency      []byte // from published to read
	Connect      []byte // from connect to subscribed
	Caught       []byte // from the goal's time to reaching it
}
