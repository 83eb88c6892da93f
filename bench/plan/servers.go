package plan

import "slices"

// A Server is one way to serve, and how the generator talks to it.
type Server struct {
	ID     string
	Name   string
	Belfry bool
	Kind   Kind
	Args   []string // of the server's own command line
	Env    []string // of the server
	Bench  []string // what the generator is told
	Events bool     // clients use http://…/events
	About  string
}

// Kind is how a server is started.
type Kind int

const (
	// Belfry with NATS in its process: what the tables call gateway is both.
	Belfry Kind = iota
	// BelfryApart has a NATS process of its own.
	BelfryApart
	// Centrifuge is peers/centrifuge and a NATS process.
	Centrifuge
	// Node is peers/node and a NATS process.
	Node
	// NATS is peers/nats, clients connect to its WebSocket listener.
	NATS
	// Floor is peers/floor.
	Floor
)

const legacyOff = "BELFRY_MESSAGECHANNEL_LEGACY=false"

// Servers are all there are.
var Servers = []Server{
	{ID: "mc", Name: "Belfry, messagechannel", Belfry: true, Kind: Belfry, Env: []string{legacyOff},
		Bench: []string{"--dialect", "messagechannel", "--publish", "durable"},
		About: "legacy off; NATS in the same process; every publication is stored and acknowledged"},
	{ID: "es", Name: "Belfry, eventsource", Belfry: true, Kind: Belfry, Env: []string{legacyOff}, Events: true,
		Bench: []string{"--dialect", "eventsource", "--publish", "durable"},
		About: "the same, clients of the other dialect"},
	{ID: "mc-legacy", Name: "Belfry, messagechannel, legacy on", Belfry: true, Kind: Belfry,
		Bench: []string{"--dialect", "messagechannel", "--publish", "durable"},
		About: "the default: a NATS subscription for each user beside the stream"},
	{ID: "mc-live", Name: "Belfry, messagechannel, live", Belfry: true, Kind: Belfry,
		Bench: []string{"--dialect", "messagechannel", "--publish", "live"},
		About: "published on notification_USER: at most once and not stored, as the peers do"},
	{ID: "es-live", Name: "Belfry, eventsource, live", Belfry: true, Kind: Belfry, Env: []string{legacyOff}, Events: true,
		Bench: []string{"--dialect", "eventsource", "--publish", "live"},
		About: "published on live.CHANNEL: at most once and not stored, as the peers do"},
	{ID: "mc-apart", Name: "Belfry, messagechannel, NATS apart", Belfry: true, Kind: BelfryApart, Env: []string{legacyOff},
		Bench: []string{"--dialect", "messagechannel", "--publish", "durable"},
		About: "NATS in a process of its own, so that gateway and broker are told apart"},
	{ID: "es-apart", Name: "Belfry, eventsource, NATS apart", Belfry: true, Kind: BelfryApart, Env: []string{legacyOff}, Events: true,
		Bench: []string{"--dialect", "eventsource", "--publish", "durable"},
		About: "the same, clients of the other dialect; every publication is stored and acknowledged"},
	{ID: "centrifuge", Name: "centrifuge library", Kind: Centrifuge,
		Bench: []string{"--dialect", "centrifuge", "--publish", "core"},
		About: "the smallest server on the Go library, tuned for many connections, with a NATS broker"},
	{ID: "natsws", Name: "nats-server's WebSocket", Kind: NATS,
		Bench: []string{"--dialect", "nats", "--publish", "core"},
		About: "clients speak NATS over WebSocket to the broker itself; nobody is authenticated"},
	{ID: "node", Name: "the original's way (NodeJS)", Kind: Node,
		Bench: []string{"--dialect", "messagechannel", "--publish", "live"},
		About: "ws and nats from npm, a NATS connection for each client"},
	{ID: "floor", Name: "floor: epoll and write", Kind: Floor,
		Bench: []string{"--dialect", "messagechannel", "--publish", "core", "--answer=false"},
		About: "one event loop that does nothing but its duty; no broker, nobody is authenticated"},
	{ID: "floor-joined", Name: "floor, joined writes", Kind: Floor, Args: []string{"--coalesce"},
		Bench: []string{"--dialect", "messagechannel", "--publish", "core", "--answer=false"},
		About: "the same, and all that was read in one go leaves in one write for each connection"},
}

// ByID returns a server; an unknown one is a mistake in the plan and has no name.
func ByID(id string) Server {
	if i := slices.IndexFunc(Servers, func(s Server) bool { return s.ID == id }); i >= 0 {
		return Servers[i]
	}
	return Server{ID: id}
}

// rows are the servers as they are.
func rows(ids ...string) (list []Row) {
	for _, id := range ids {
		list = append(list, Row{Server: id, Label: ByID(id).Name})
	}
	return list
}

// with gives one server's row more arguments, and says so in its label.
func with(list []Row, id, label string, args ...string) []Row {
	return append(list, Row{Server: id, Label: ByID(id).Name + ", " + label, Args: args})
}
